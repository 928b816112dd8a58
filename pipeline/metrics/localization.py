"""Segment accuracy, the number of audio-visual event localization, and what it is made of.

Source: Tian et al., Audio-visual event localization in unconstrained videos, ECCV 2018: the share of segments whose
class, one of 28 or the background, is right; PSP and CMBS report the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.counts import Floats
from storage.errors import InvalidInput

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class LocalizationScores:
    """Shares of segments whose class is right, in percent; 100 where there are none of a kind.

    Attributes:
        accuracy: of all segments.
        foreground: of those with an event.
        background: of those without.
    """

    accuracy: float
    foreground: float
    background: float

    def as_dict(self) -> dict[str, float]:
        """The scores by name, in the order above."""
        return asdict(self)


SCORES: tuple[str, ...] = tuple(field.name for field in fields(LocalizationScores))
"""Names of the scores, in order."""

HEADINGS: Mapping[str, str] = {
    "accuracy": "accuracy", "foreground": "of segments with an event", "background": "of those without",
}  # fmt: skip
"""Headings of a table, by score."""


def segment_classes(
    scores: NDArray[np.floating[Any]], event: NDArray[np.floating[Any]] | None = None, *, threshold: float = 0.5
) -> Labels:
    """The class of each segment.

    Args:
        scores: ``[videos, segments, classes]``, the last class being the background.
        event: ``[videos, segments]`` probability of an event; a segment below the threshold is background.
        threshold: a probability that equals it is an event.

    Returns:
        ``[videos, segments]``: the class with the largest score, the first of equal ones.
    """
    found = scores.argmax(axis=2).astype(np.int64)
    return found if event is None else np.where(event >= threshold, found, scores.shape[2] - 1)


def localization_scores(found: Labels, truth: Labels, *, background: int) -> LocalizationScores:
    """Compare classes of segments.

    Args:
        found: ``[videos, segments]``.
        truth: the same shape.
        background: index of the class that is none.

    Raises:
        InvalidInput: If the shapes differ or there is no segment.
    """
    right, happens = _right(found, truth), truth != background
    kinds = (np.ones_like(happens), happens, ~happens)
    return LocalizationScores(*(100 * float(right[kind].mean()) if kind.any() else 100.0 for kind in kinds))


def baselines(truth: Labels, category: Labels, *, background: int) -> dict[str, LocalizationScores]:
    """Scores of two predictions that need no looking.

    Args:
        truth: ``[videos, segments]``.
        category: ``[videos]``: the class of each video's event.
        background: index of the class that is none.

    Returns:
        Background everywhere; and the right event everywhere, which knows what but not when.
    """
    nothing = np.full_like(truth, background)
    event = np.broadcast_to(category[:, None], truth.shape)
    return {
        "background everywhere": localization_scores(nothing, truth, background=background),
        "the right event everywhere": localization_scores(event, truth, background=background),
    }


def video_accuracy(found: Labels, truth: Labels) -> Floats:
    """``[videos]`` share of each video's segments whose class is right, in percent; the mean is the accuracy.

    Raises:
        InvalidInput: See :func:`localization_scores`.
    """
    shares: Floats = 100 * _right(found, truth).mean(axis=1, dtype=np.float64)
    return shares


def class_accuracy(found: Labels, truth: Labels, *, classes: int) -> tuple[Labels, Floats]:
    """By class: how many segments it has, and the share of them that is right, in percent; NaN where it has none."""
    right = _right(found, truth)
    counts = np.bincount(truth.ravel(), minlength=classes)
    hits = np.bincount(truth.ravel(), weights=right.ravel(), minlength=classes)
    return counts.astype(np.int64), 100 * hits / np.where(counts, counts, np.nan)


def _right(found: Labels, truth: Labels) -> NDArray[np.bool_]:
    if found.shape != truth.shape or found.ndim != 2 or not found.size:
        raise InvalidInput(f"expected [videos, segments] twice, got {list(found.shape)} and {list(truth.shape)}")
    right: NDArray[np.bool_] = found == truth
    return right
