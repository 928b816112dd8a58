"""Finds defects in label files that the published code reads without an error."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.datasets.annotation_files import DenseRow, WeakRow
from pipeline.datasets.dataset_description import DatasetDescription

KINDS: Mapping[str, str] = {
    "unknown_clip": "no clip of the dense splits has this name; the line is ignored",
    "empty_interval": "the interval ends before it has begun; the line adds nothing",
    "beyond_clip": "the interval ends after the clip; it is cut off there",
    "duplicate_row": "the same line is there before; it adds nothing",
    "overlapping_intervals": "intervals of one class overlap in one clip; their union counts",
    "touching_intervals": "intervals of one class touch in one clip; they are one event",
    "class_not_in_weak_label": "the class is missing from the clip's weak label; the dense label counts all the same",
    "weak_label_differs": "the weak label is not the union of the clip's dense labels; both are used as they are",
    "old_revision": "the row name is one that only an older release of the file has; the line is ignored",
}
"""Every kind of defect, and what is done about it."""


@dataclass(frozen=True)
class Defect:
    """A defect in a label file.

    Attributes:
        kind: one of :data:`KINDS`.
        file: name of the file.
        lines: numbers of the lines, from 1.
        clip: row name.
        detail: what is there, in words.
    """

    kind: str
    file: str
    lines: tuple[int, ...]
    clip: str
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "lines": list(self.lines)}

    def __str__(self) -> str:
        numbers = ", ".join(map(str, self.lines))
        return f"{self.file} line{'s' if len(self.lines) > 1 else ''} {numbers}: {self.clip}: {self.detail}"


def find_defects(
    dataset: DatasetDescription, weak: Sequence[WeakRow], dense: Mapping[str, Sequence[DenseRow]]
) -> tuple[Defect, ...]:
    """Find the defects in the rows of all label files.

    Args:
        dataset: they belong to.
        weak: rows of all splits.
        dense: file name -> its rows, one entry a modality.

    Returns:
        Defects in the order of :data:`KINDS`, files and lines.
    """
    judged = {row.clip: row for row in weak if row.split in dataset.dense_splits}
    found: list[Defect] = []
    for file, rows in dense.items():
        found += _row_defects(dataset, file, rows, judged)
        found += _group_defects(dataset, file, rows)
    if dense:
        found += _weak_differences(dataset, judged.values(), [row for rows in dense.values() for row in rows])
    order = list(KINDS)
    return tuple(sorted(found, key=lambda defect: (order.index(defect.kind), defect.file, defect.lines)))


def _row_defects(
    dataset: DatasetDescription, file: str, rows: Sequence[DenseRow], judged: Mapping[str, WeakRow]
) -> Iterator[Defect]:
    """Defects within one line."""
    first_line: dict[tuple[str, int, int, int], int] = {}
    old = {name for names in dataset.revisions.values() for name in names}
    for row in rows:
        name = dataset.classes[row.label]
        span = f"{name} [{row.first}, {row.last})"
        here = (file, (row.line,), row.clip)
        if row.clip not in judged:
            yield Defect("old_revision" if row.clip in old else "unknown_clip", *here, span)
        elif row.label not in judged[row.clip].classes:
            labels = ", ".join(dataset.classes[label] for label in judged[row.clip].classes)
            yield Defect("class_not_in_weak_label", *here, f"{name} is not among {labels}")
        if row.last <= row.first:
            yield Defect("empty_interval", *here, span)
        if row.last > dataset.segments:
            yield Defect("beyond_clip", *here, f"{span} of {dataset.segments} segments")
        key = (row.clip, row.first, row.last, row.label)
        if key in first_line:
            yield Defect("duplicate_row", *here, f"{span} is in line {first_line[key]}")
        first_line.setdefault(key, row.line)


def _group_defects(dataset: DatasetDescription, file: str, rows: Sequence[DenseRow]) -> Iterator[Defect]:
    """Defects between the intervals of one class in one clip."""
    groups: dict[tuple[str, int], list[DenseRow]] = defaultdict(list)
    for row in rows:
        if row.last > row.first:
            groups[row.clip, row.label].append(row)
    for (clip, label), group in groups.items():
        group.sort(key=lambda row: (row.first, row.last))
        lines = tuple(sorted(row.line for row in group))
        spans = f"{dataset.classes[label]} {', '.join(f'[{row.first}, {row.last})' for row in group)}"
        pairs = [(one, other) for at, one in enumerate(group) for other in group[at + 1 :]]
        if any(one.last > other.first for one, other in pairs):
            yield Defect("overlapping_intervals", file, lines, clip, spans)
        if any(one.last == other.first for one, other in pairs):
            yield Defect("touching_intervals", file, lines, clip, spans)


def _weak_differences(
    dataset: DatasetDescription, judged: Iterable[WeakRow], dense: Iterable[DenseRow]
) -> Iterator[Defect]:
    """Clips whose weak label differs from the classes in their dense lines, empty intervals included."""
    named: dict[str, set[int]] = defaultdict(set)
    for row in dense:
        named[row.clip].add(row.label)
    for weak in judged:
        extra, missing = (
            [dataset.classes[label] for label in sorted(labels)]
            for labels in (set(weak.classes) - named[weak.clip], named[weak.clip] - set(weak.classes))
        )
        parts = [f"{', '.join(extra)} in the weak label only"] if extra else []
        parts += [f"{', '.join(missing)} in dense labels only"] if missing else []
        if parts:
            yield Defect("weak_label_differs", weak.file, (weak.line,), weak.clip, "; ".join(parts))


def count_kinds(defects: Iterable[Defect]) -> dict[str, int]:
    """Number of defects of each kind, in the order of :data:`KINDS`."""
    counts = Counter(defect.kind for defect in defects)
    return {kind: counts[kind] for kind in KINDS if counts[kind]}


def nearest_clip(name: str, clips: Sequence[str]) -> str:
    """The clip name closest to a misspelt one; empty if none is close."""
    near = difflib.get_close_matches(name, clips, n=1, cutoff=0.85)
    return near[0] if near else ""
