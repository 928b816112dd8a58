"""Selects videos with overlapping events, in each possible reading of LEAP's Table 3."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from pipeline.metrics.counts import Bools, as_bools
from storage.errors import InvalidInput

Overlap = Literal["either_modality", "union_of_modalities", "audio", "visual"]


def overlapping(true_audio: ArrayLike, true_visual: ArrayLike, *, reading: Overlap = "either_modality") -> Bools:
    """Select videos with at least one segment of several classes.

    Args:
        true_audio: ``[videos, segments, classes]`` bool.
        true_visual: the same shape.
        reading: where the classes of a segment are counted. ``either_modality``: in audio alone or in the visual
            stream alone, either will do. ``union_of_modalities``: in both together, so that one class heard and
            another seen overlap. ``audio`` or ``visual``: in that modality only.

    Returns:
        ``[videos]``; its inverse is the non-overlapping subset.

    Source: LEAP (Zhou et al., ECCV 2024), table 3, which does not say which. On LLP's test set the readings give
    665, 764, 626 and 267 videos.
    """
    audio, visual = as_bools(true_audio, "true_audio"), as_bools(true_visual, "true_visual")
    if audio.shape != visual.shape:
        raise InvalidInput(f"shapes differ: true_audio {list(audio.shape)}, true_visual {list(visual.shape)}")
    match reading:
        case "either_modality":
            return _several(audio) | _several(visual)
        case "union_of_modalities":
            return _several(audio | visual)
        case "audio":
            return _several(audio)
        case "visual":
            return _several(visual)
    raise InvalidInput(f"reading {reading!r}: expected one of {', '.join(get_args(Overlap))}")


def _several(labels: Bools) -> Bools:
    found: Bools = np.any(labels.sum(axis=2) > 1, axis=1)
    return found
