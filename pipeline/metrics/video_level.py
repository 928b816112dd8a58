"""Scores of whole videos, and means of the segment and the event level, as MM-CSE's tables print them.

They stand beside the eleven of :mod:`pipeline.metrics.parsing` and are not among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from pipeline.metrics.counts import Bools, Counts, Floats, segment_counts
from pipeline.metrics.named_scores import NamedScores
from pipeline.metrics.parsing import SCORES, VideoScores, matching, mean_over_classes

Value = TypeVar("Value", float, Floats)

VIDEO_HEADINGS: Mapping[str, str] = {
    "vid_a": "vid A", "vid_v": "vid V", "vid_av": "vid AV", "vid_type": "vid Type@AV", "vid_event": "vid Event@AV",
}  # fmt: skip
"""Headings of the scores of whole videos."""

MEAN_HEADINGS: Mapping[str, str] = {
    "mean_a": "mean A", "mean_v": "mean V", "mean_av": "mean AV", "mean_type": "mean Type@AV",
    "mean_event": "mean Event@AV", "average": "Avg",
}  # fmt: skip
"""Headings of the means of both levels; ``average`` is the mean of the five, and of the ten scores alike."""


def video_level(
    pred_audio: ArrayLike, pred_visual: ArrayLike, true_audio: ArrayLike, true_visual: ArrayLike
) -> NamedScores:
    """F1 of which classes a video has, in percent; the arrays as for :func:`pipeline.metrics.parsing.parsing_scores`.

    A video has a class in a modality if any of its segments has, and as an audio-visual event if any segment has it in
    both at once. The scores are then those of the segment level, the whole video being the one segment: a class that
    is predicted or true has F1 1 or 0, and a video the mean over these classes, 1 where there are none. "Type@AV" is
    the mean of the first three, "Event@AV" pools audio and visual counts of a class.

    Returns:
        Five scores a video, see :data:`VIDEO_HEADINGS`.

    Raises:
        InvalidInput: If shapes differ or an array holds anything but decisions.

    Source: MM-CSE (Zhao et al., AAAI 2025) reports such scores; their code is not public, so the rule is our reading:
    the one that the published evaluation follows at the other levels.
    """
    found_a, found_v, true_a, true_v = matching(pred_audio, pred_visual, true_audio, true_visual)
    audio, visual, both = (
        _whole(found, true)
        for found, true in ((found_a, true_a), (found_v, true_v), (found_a & found_v, true_a & true_v))
    )
    three = [mean_over_classes(counts) for counts in (audio, visual, both)]
    columns = [*three, np.mean(three, axis=0), mean_over_classes(audio + visual)]
    return NamedScores(VIDEO_HEADINGS, 100.0 * np.stack(columns, axis=1))


def _whole(predicted: Bools, true: Bools) -> Counts:
    return segment_counts(predicted.any(axis=1, keepdims=True), true.any(axis=1, keepdims=True))


def level_means(videos: VideoScores) -> NamedScores:
    """Means of the segment and the event score of each video: the columns of MM-CSE's tables 4 and 10.

    Returns:
        Five means and the average of the ten, see :data:`MEAN_HEADINGS`.
    """
    columns = mean_columns(dict(zip(SCORES, videos.values.T, strict=True)))
    return NamedScores(MEAN_HEADINGS, np.stack(list(columns.values()), axis=1))


def mean_columns(scores: Mapping[str, Value]) -> dict[str, Value]:
    """Means of both levels, by name of :data:`MEAN_HEADINGS`, from the eleven scores by name."""
    kinds = [name.removeprefix("mean_") for name in MEAN_HEADINGS if name != "average"]
    means = {f"mean_{kind}": (scores[f"seg_{kind}"] + scores[f"ev_{kind}"]) / 2 for kind in kinds}
    return means | {"average": scores["average"]}
