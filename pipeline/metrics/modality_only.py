"""Scores of what is only heard and of what is only seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from pipeline.metrics.counts import event_counts, segment_counts
from pipeline.metrics.named_scores import NamedScores
from pipeline.metrics.parsing import matching, mean_over_classes

ONLY_HEADINGS: Mapping[str, str] = {
    "seg_a_only": "seg A only", "seg_v_only": "seg V only", "ev_a_only": "ev A only", "ev_v_only": "ev V only",
}  # fmt: skip
"""Headings of the scores."""


def modality_only(
    pred_audio: ArrayLike, pred_visual: ArrayLike, true_audio: ArrayLike, true_visual: ArrayLike
) -> NamedScores:
    """F1 of audible-only and of visible-only events, in percent.

    A class is audible only in a segment where it is heard and not seen, and visible only where it is seen and not
    heard, in the predictions by the predictions alone and in the truth by the truth. An event is an unbroken run of
    such segments: a dog that barks for ten seconds and is seen in the middle is two audible-only events. All else is as
    for :func:`pipeline.metrics.parsing.video_scores`, so a video where nothing is audible only, in predictions and in
    truth, has 100.

    Args:
        pred_audio: ``[videos, segments, classes]`` decisions.
        pred_visual: the same shape.
        true_audio: the same shape.
        true_visual: the same shape.

    Returns:
        Four scores a video, see :data:`ONLY_HEADINGS`.

    Raises:
        InvalidInput: If shapes differ or an array holds anything but decisions.

    Source: CoLeaF (Sardari et al., ECCV 2024, https://arxiv.org/abs/2405.10690), which proposes to score such events by
    themselves. Written from the idea, not from its code.
    """
    found_a, found_v, true_a, true_v = matching(pred_audio, pred_visual, true_audio, true_visual)
    pairs = ((found_a & ~found_v, true_a & ~true_v), (found_v & ~found_a, true_v & ~true_a))
    columns = [mean_over_classes(count(*pair)) for count in (segment_counts, event_counts) for pair in pairs]
    return NamedScores(ONLY_HEADINGS, 100.0 * np.stack(columns, axis=1))
