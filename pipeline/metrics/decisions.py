"""Turns probabilities into decisions, with thresholds and video-level masks."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.metrics.counts import Bools
from storage.errors import InvalidInput

Levels = NDArray[np.floating[Any]]
Mask = Literal["none", "union", "own", "mmcse"]
MASKS: tuple[Mask, ...] = get_args(Mask)
_REQUIRED: dict[Mask, tuple[str, str] | None] = {
    "none": None,
    "union": ("union_video", "union_video"),
    "own": ("audio_video", "visual_video"),
    "mmcse": ("union_video", "visual_video"),
}
"""By mask, the video-level probabilities for audio and for the visual stream."""


def decide(
    audio_segment: ArrayLike,
    visual_segment: ArrayLike,
    *,
    union_video: ArrayLike | None = None,
    audio_video: ArrayLike | None = None,
    visual_video: ArrayLike | None = None,
    mask: Mask = "union",
    threshold: ArrayLike = 0.5,
    video_threshold: ArrayLike | None = None,
) -> tuple[Bools, Bools]:
    """Threshold segment probabilities, and mask classes that are not predicted for the video.

    Args:
        audio_segment: ``[videos, segments, classes]``, 0 to 1.
        visual_segment: the same shape.
        union_video: ``[videos, classes]``; HAN's "global" probability may exceed 1.
        audio_video: ``[videos, classes]``.
        visual_video: ``[videos, classes]``.
        mask: ``union``: both modalities by ``union_video``, as HAN, MM-Pyramid, VALOR and LEAP do. ``own``: each
            by its own. ``mmcse``: audio by ``union_video``, visual by ``visual_video``, as MM-CSE's published
            code does. ``none``: segments alone.
        threshold: one number, or one a class ``[classes]``; a probability that equals it counts.
        video_threshold: the same for the video's probabilities; ``threshold`` where it is not given.

    Returns:
        Audio and visual decisions, ``[videos, segments, classes]``.

    Raises:
        InvalidInput: If the mask is unknown or its probabilities are absent, shapes differ, or a value is NaN.
    """
    if mask not in MASKS:
        raise InvalidInput(f"mask {mask!r}: expected one of {', '.join(MASKS)}")
    audio = _probabilities(audio_segment, "audio_segment", axes="[videos, segments, classes]")
    visual = _probabilities(visual_segment, "visual_segment", axes="[videos, segments, classes]")
    if audio.shape != visual.shape:
        raise InvalidInput(f"shapes differ: audio_segment {list(audio.shape)}, visual_segment {list(visual.shape)}")
    classes = audio.shape[2]
    level = _thresholds(threshold, "threshold", classes)
    decisions = (audio >= level, visual >= level)
    required = _REQUIRED[mask]
    if required is None:
        return decisions
    video_level = level if video_threshold is None else _thresholds(video_threshold, "video_threshold", classes)
    given = {"union_video": union_video, "audio_video": audio_video, "visual_video": visual_video}
    present = [_video_decisions(given[name], name, mask, (len(audio), classes), video_level) for name in required]
    return decisions[0] & present[0], decisions[1] & present[1]


def _probabilities(array: ArrayLike, name: str, *, axes: str) -> Levels:
    found: Levels = np.asarray(array)
    if found.ndim != axes.count(",") + 1:
        raise InvalidInput(f"{name}: shape is {list(found.shape)}, expected {axes}")
    if (unknown := np.isnan(found)).any():
        first = int(np.argwhere(unknown)[0, 0]) + 1
        raise InvalidInput(
            f"{name}: {int(unknown.sum())} of {found.size} values are NaN, the first in video {first} of {len(found)}"
        )
    return found


def _thresholds(threshold: ArrayLike, name: str, classes: int) -> Levels:
    found = np.asarray(threshold, dtype=np.float64)
    if found.shape not in ((), (classes,)):
        raise InvalidInput(f"{name}: shape is {list(found.shape)}, expected one number or {classes}, one a class")
    return found


def _video_decisions(array: ArrayLike | None, name: str, mask: str, shape: tuple[int, int], level: Levels) -> Bools:
    """``[videos, 1, classes]``."""
    if array is None:
        raise InvalidInput(f"mask {mask!r} needs {name}, which is absent; give it or choose another mask, e.g. none")
    found = _probabilities(array, name, axes="[videos, classes]")
    if found.shape != shape:
        raise InvalidInput(f"{name}: shape is {list(found.shape)}, expected {list(shape)} like the segments")
    decided: Bools = (found >= level)[:, None, :]
    return decided
