"""Searches a threshold for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.metrics.classwise import Level, class_table
from pipeline.metrics.counts import Bools, Floats
from pipeline.metrics.decisions import Mask, decide

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Thresholds that are tried."""


def search_class_thresholds(
    probabilities: Mapping[str, ArrayLike], true_audio: Bools, true_visual: Bools, *, mask: Mask, start: float = 0.5
) -> Floats:
    """The threshold of each class that suits these videos best; for a split that is not reported.

    Best is the mean of the class's segment-level and event-level F1 with audio and visual counts pooled. It does not
    depend on the thresholds of other classes, so each is found alone. Of equals the one nearest to ``start`` is taken,
    and a class that is nowhere true keeps ``start``.

    Args:
        probabilities: arguments of :func:`pipeline.metrics.decisions.decide` by name; a threshold is for segments and
            for the video.
        true_audio: ``[videos, segments, classes]``.
        true_visual: the same shape.
        mask: see there.
        start: the threshold to change as little as possible.

    Returns:
        ``[classes]``.

    Source: CMPAE (Gao et al., CVPR 2023) and CoLeaF (Sardari et al., ECCV 2024) search class thresholds on the
    validation split; the criterion and the steps are ours.
    """
    levels = np.array(sorted({*LEVELS, start}, key=lambda level: (abs(level - start), level)))
    found: list[NDArray[np.float64]] = []
    for level in levels:
        audio, visual = decide(**probabilities, mask=mask, threshold=float(level))
        tables = [class_table(audio, visual, true_audio, true_visual, level=one).event for one in get_args(Level)]
        found.append(np.nan_to_num(np.mean(tables, axis=0), nan=0.0))
    best: Floats = levels[np.argmax(found, axis=0)]
    known = true_audio.any(axis=(0, 1)) | true_visual.any(axis=(0, 1))
    return np.where(known, best, start)
