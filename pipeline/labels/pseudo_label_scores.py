"""Scores pseudo labels against ground truth, and searches the best thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.llp import Annotations
from pipeline.datasets.threshold_files import Thresholds
from storage.errors import InvalidInput
from storage.layout.label_schema import Labels, PseudoLabels

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Counts over segments for each class.

    Attributes:
        classes: names.
        true_positives: ``[classes]``.
        false_positives: ``[classes]``.
        false_negatives: ``[classes]``.
    """

    classes: tuple[str, ...]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    false_negatives: NDArray[np.int64]

    def rows(self) -> list[dict[str, Any]]:
        """Precision, recall and F1 of each class, and of all segments together under the name ``all``.

        ``None`` stands where a number is undefined: precision of what is never predicted, recall of what never occurs.
        """
        counts = zip(self.true_positives, self.false_positives, self.false_negatives, strict=True)
        rows = [_row(name, *map(int, of_class)) for name, of_class in zip(self.classes, counts, strict=True)]
        totals = (self.true_positives, self.false_positives, self.false_negatives)
        return [*rows, _row("all", *(int(count.sum()) for count in totals))]


def _row(name: str, hits: int, extra: int, missed: int) -> dict[str, Any]:
    return {
        "class": name,
        "precision": hits / (hits + extra) if hits + extra else None,
        "recall": hits / (hits + missed) if hits + missed else None,
        "f1": 2 * hits / (2 * hits + extra + missed) if hits + extra + missed else None,
        "segments": hits + missed,
        "predicted": hits + extra,
    }


def score(labels: Labels, truth: Bools, classes: tuple[str, ...]) -> ClassScores:
    """Compare labels with ground truth, segment by segment.

    Args:
        labels: ``[clips, segments, classes]``.
        truth: likewise, bool.
        classes: names.
    """
    said = labels.astype(bool)
    pairs = ((said & truth), (said & ~truth), (~said & truth))
    return ClassScores(classes, *(np.asarray(hit.sum(axis=(0, 1)), dtype=np.int64) for hit in pairs))


def rows_with_truth(labels: PseudoLabels, ids: list[str], truth: Annotations) -> tuple[list[int], Annotations]:
    """The clips with both pseudo labels and ground truth.

    Args:
        labels: of a store.
        ids: of its clips, in row order.
        truth: of one split.

    Returns:
        Rows of the store, and the ground truth in their order.

    Raises:
        InvalidInput: If there is no such clip.
    """
    judged = {name for name, has in zip(truth.ids, truth.has_ground_truth, strict=True) if has}
    rows = [row for row, name in enumerate(ids) if name in judged and labels.known[row]]
    if not rows:
        raise InvalidInput(
            f"{truth.source}: none of its {len(judged)} clips with ground truth has pseudo labels {labels.teacher!r} "
            "in the store"
        )
    return rows, truth.align([ids[row] for row in rows])


def search_thresholds(labels: PseudoLabels, rows: list[int], truth: Annotations, *, fallback: Thresholds) -> Thresholds:
    """Thresholds with the best F1 of each class over some clips.

    Args:
        labels: with logits.
        rows: of the store.
        truth: of these rows, with their weak labels.
        fallback: kept for classes that no clip has.

    Raises:
        InvalidInput: If no logits were kept.
    """
    if labels.audio_logits is None or labels.visual_logits is None:
        raise InvalidInput(f"pseudo labels {labels.teacher!r} have no logits to search: they were imported")
    return Thresholds(
        _best(labels.audio_logits[rows], truth.audio, truth.weak, fallback.audio),
        _best(labels.visual_logits[rows], truth.visual, truth.weak, fallback.visual),
    )


def _best(logits: NDArray[np.float32], truth: Bools, weak: Bools, fallback: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[classes]``: the threshold between neighbouring logits with the best F1; the highest of equal ones."""
    chosen = fallback.copy()
    for label in range(len(fallback)):
        values = logits[weak[:, label], :, label].astype(np.float64).ravel()
        hits = truth[weak[:, label], :, label].ravel()[np.isfinite(values)]
        values = values[np.isfinite(values)]
        if not hits.any():
            continue
        order = np.argsort(-values, kind="stable")
        values, found = values[order], np.cumsum(hits[order])
        # Cut after position k: all equal logits are on one side of a threshold.
        f1 = 2 * found / (np.arange(1, len(values) + 1) + truth[:, :, label].sum())
        f1[:-1][values[:-1] == values[1:]] = -1
        cut = int(np.argmax(f1))
        below = values[cut + 1] if cut + 1 < len(values) else values[cut] - 1
        chosen[label] = (values[cut] + below) / 2
    return chosen
