"""F1 of each class, as in the per-class figures of the papers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from pipeline.metrics.counts import Floats, Ints, event_counts, segment_counts
from pipeline.metrics.parsing import matching, three_counts
from storage.errors import InvalidInput

Level = Literal["segment", "event"]


@dataclass(frozen=True)
class ClassTable:
    """F1 of each class, in percent, averaged over the videos where the class is predicted or true.

    A class that is nowhere active has NaN.

    Attributes:
        audio: ``[classes]``.
        visual: ``[classes]``.
        both: ``[classes]``, heard and seen at once.
        type_mean: ``[classes]``, mean of the three above.
        event: ``[classes]``, audio and visual counts pooled.
        videos: ``[classes]``, in how many videos the class is predicted or true in either modality.
    """

    audio: Floats
    visual: Floats
    both: Floats
    type_mean: Floats
    event: Floats
    videos: Ints


def class_table(
    pred_audio: ArrayLike,
    pred_visual: ArrayLike,
    true_audio: ArrayLike,
    true_visual: ArrayLike,
    *,
    level: Level = "segment",
) -> ClassTable:
    """Score each class; the arrays as for :func:`pipeline.metrics.parsing.parsing_scores`.

    Args:
        pred_audio: ``[videos, segments, classes]`` bool.
        pred_visual: the same shape.
        true_audio: the same shape.
        true_visual: the same shape.
        level: ``segment`` is the published table; ``event`` counts events the same way.

    Source: LEAP (Zhou et al., ECCV 2024), figure 3; VALOR's published ``classwise_segment_level``.
    """
    if level not in get_args(Level):
        raise InvalidInput(f"level {level!r}: expected one of {', '.join(get_args(Level))}")
    count = segment_counts if level == "segment" else event_counts
    audio, visual, both = three_counts(count, *matching(pred_audio, pred_visual, true_audio, true_visual))
    each = [_over_videos(counts.f1()) for counts in (audio, visual, both)]
    pooled = (audio + visual).f1()
    return ClassTable(
        audio=each[0],
        visual=each[1],
        both=each[2],
        type_mean=np.mean(each, axis=0),
        event=_over_videos(pooled),
        videos=(~np.isnan(pooled)).sum(axis=0),
    )


def _over_videos(f1: Floats) -> Floats:
    """Mean of each column in percent, NaN left out: ``[classes]``."""
    active = ~np.isnan(f1)
    number = active.sum(axis=0)
    total = 100.0 * np.where(active, f1, 0.0).sum(axis=0)
    return np.divide(total, number, out=np.full(f1.shape[1], np.nan), where=number > 0)
