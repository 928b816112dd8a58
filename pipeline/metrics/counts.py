"""True and false positives of segments and of events, for every video and class at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storage.errors import InvalidInput

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives.

    Attributes:
        true_positives: ``[videos, classes]``.
        false_positives: ``[videos, classes]``.
        false_negatives: ``[videos, classes]``.
    """

    true_positives: Ints
    false_positives: Ints
    false_negatives: Ints

    def __add__(self, other: Counts) -> Counts:
        """Pool two modalities."""
        return Counts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )

    def f1(self) -> Floats:
        """F1 of each video and class ``[videos, classes]``; NaN where nothing is predicted and nothing is true."""
        doubled = 2.0 * self.true_positives
        total = doubled + self.false_positives + self.false_negatives
        return np.divide(doubled, total, out=np.full(total.shape, np.nan), where=total > 0)


def as_bools(array: ArrayLike, name: str) -> Bools:
    """Check an array of decisions.

    Args:
        array: ``[videos, segments, classes]``, bool or numbers that are all 0 or 1.
        name: for the error.

    Raises:
        InvalidInput: If it has not three axes, has an empty one, or holds anything but 0 and 1.
    """
    found = np.asarray(array)
    if found.ndim != 3 or not found.size:
        raise InvalidInput(
            f"{name}: shape is {list(found.shape)}, expected [videos, segments, classes], none of them 0"
        )
    if found.dtype != np.bool_ and not np.isin(found, (0, 1)).all():
        raise InvalidInput(f"{name}: expected decisions (0 or 1), got other {found.dtype} values; threshold them first")
    return found.astype(np.bool_, copy=False)


def segment_counts(predicted: Bools, true: Bools) -> Counts:
    """Count segments.

    Args:
        predicted: ``[videos, segments, classes]``.
        true: the same shape.
    """
    return _counts((predicted & true).sum(axis=1), predicted.sum(axis=1), true.sum(axis=1))


def event_counts(predicted: Bools, true: Bools) -> Counts:
    """Count events: an event is an unbroken run of segments of one class.

    A predicted event is right if its intersection over union with some true event is at least 0.5. Two events
    with a gap between them cannot both reach 0.5 with a third, so the pairs that do are one to one, and it is
    enough to count them.

    Args:
        predicted: ``[videos, segments, classes]``.
        true: the same shape.

    Source: event-level F1 of HAN (Tian et al., ECCV 2020, https://arxiv.org/abs/2007.10558, section 5), as its
    published code counts.
    """
    videos, segments, classes = predicted.shape
    rows = [array.transpose(1, 0, 2).reshape(segments, -1) for array in (predicted, true)]
    found = [_onsets(array).sum(axis=0) for array in rows]
    matched = np.zeros(videos * classes, np.int64)
    both = np.flatnonzero((found[0] > 0) & (found[1] > 0))
    matched[both] = _matched_pairs(rows[0][:, both], rows[1][:, both])
    shape = (videos, classes)
    return _counts(matched.reshape(shape), found[0].reshape(shape), found[1].reshape(shape))


def _counts(matched: Ints, predicted: Ints, true: Ints) -> Counts:
    return Counts(matched, predicted - matched, true - matched)


def _onsets(rows: Bools) -> Bools:
    """True where a run begins: ``[segments, rows]``."""
    first = rows.copy()
    first[1:] &= ~rows[:-1]
    return first


def _spans(rows: Bools) -> tuple[Ints, Ints]:
    """First segment, and the one past the last, of the run that each true segment is in; elsewhere anything."""
    starts = _last_onset(rows)
    ends = len(rows) - _last_onset(rows[::-1])[::-1]
    return starts, ends


def _last_onset(rows: Bools) -> Ints:
    index = np.arange(len(rows))[:, None]
    return np.maximum.accumulate(np.where(_onsets(rows), index, 0), axis=0)


def _matched_pairs(predicted: Bools, true: Bools) -> Ints:
    """Pairs of overlapping runs with intersection over union of at least 0.5, per row: ``[rows]``."""
    starts, ends = _spans(predicted)
    true_starts, true_ends = _spans(true)
    first = np.maximum(starts, true_starts)
    intersection = np.minimum(ends, true_ends) - first
    union = np.maximum(ends, true_ends) - np.minimum(starts, true_starts)
    counted_here = predicted & true & (first == np.arange(len(predicted))[:, None])
    matched: Ints = (counted_here & (2 * intersection >= union)).sum(axis=0)
    return matched
