"""Reads label files: weak labels per clip, dense labels per interval. Errors give the line numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.dataset_description import DatasetDescription, read_text
from storage.errors import InvalidInput
from storage.text import lines_of

WEAK_COLUMNS = ("filename", "event_labels")
DENSE_COLUMNS = ("filename", "onset", "offset", "event_labels")
_SHOWN_PROBLEMS = 3


@dataclass(frozen=True)
class WeakRow:
    """One line of a weak label file.

    Attributes:
        clip: row name.
        classes: indices of the classes that occur somewhere in the clip.
        split: that the file stands for.
        file: its name.
        line: its number, from 1.
    """

    clip: str
    classes: tuple[int, ...]
    split: str
    file: str
    line: int


@dataclass(frozen=True)
class DenseRow:
    """One line of a dense label file: a class from one segment up to another.

    Attributes:
        clip: row name.
        first: segment in which it starts.
        last: segment before which it ends; not larger than ``first`` where the line's interval is empty.
        label: index of the class.
        line: its number, from 1.
    """

    clip: str
    first: int
    last: int
    label: int
    line: int


def read_weak(path: Path, dataset: DatasetDescription, *, split: str) -> list[WeakRow]:
    """Read a weak label file: tab-separated, one clip per line, classes separated by commas.

    Raises:
        InvalidInput: If it cannot be read or lines are malformed; file, line and reason are named.
    """
    rows, problems = [], []
    for number, fields in _lines(path, WEAK_COLUMNS):
        try:
            clip, labels = _fields(fields, WEAK_COLUMNS)
            names = [name.strip() for name in labels.split(",")]
            rows.append(WeakRow(clip, tuple(map(dataset.class_index, names)), split, path.name, number))
        except (InvalidInput, ValueError) as problem:
            problems.append(f"line {number}: {problem}")
    refuse_lines(path, problems)
    return rows


def read_dense(path: Path, dataset: DatasetDescription, *, may_be_empty: bool = False) -> list[DenseRow]:
    """Read a dense label file: tab-separated, one half-open interval in seconds per line.

    Args:
        path: of the file.
        dataset: gives classes and grid.
        may_be_empty: whether a header alone will do, as in the file of a single clip.

    Raises:
        InvalidInput: If it cannot be read, lines are malformed, or there are none; file, line and reason are named.
    """
    rows, problems = [], []
    for number, fields in _lines(path, DENSE_COLUMNS):
        try:
            clip, onset, offset, label = _fields(fields, DENSE_COLUMNS)
            first, last = (segment_number(text, dataset) for text in (onset, offset))
            rows.append(DenseRow(clip, first, last, dataset.class_index(label.strip()), number))
        except (InvalidInput, ValueError) as problem:
            problems.append(f"line {number}: {problem}")
    refuse_lines(path, problems)
    if not rows and not may_be_empty:
        raise InvalidInput(f"{path}: has no events: every clip would count as one without any. Put the whole file back")
    return rows


def _lines(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Numbered lines split at tabs, without the header and empty ones."""
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        fields = line.split("\t")
        if number == 1:
            if [name.strip() for name in fields] != list(columns):
                raise InvalidInput(f"{path}: line 1: expected the columns {' '.join(columns)} with tabs, got {line!r}")
        elif line.strip():
            yield number, fields


def _fields(fields: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    if len(fields) != len(columns) or not all(field.strip() for field in fields):
        raise ValueError(f"expected {len(columns)} fields with tabs between ({' '.join(columns)}), got {list(fields)}")
    return tuple(field.strip() for field in fields)


def segment_number(text: str, dataset: DatasetDescription) -> int:
    """Convert a time in seconds to a number of segments.

    Raises:
        ValueError: If it is no time, or not on the grid.
    """
    try:
        position = float(text) / dataset.segment_seconds
    except ValueError:
        raise ValueError(f"{text!r} is no number of seconds") from None
    if not math.isfinite(position) or position < 0 or abs(position - round(position)) > 1e-6:
        raise ValueError(f"{text} s is not on the grid of segments of {dataset.segment_seconds:g} s")
    return round(position)


def refuse_lines(path: Path, problems: Sequence[str]) -> None:
    """Raise InvalidInput with the number of problems and the first few, if there are any."""
    if problems:
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        lines = "line is" if len(problems) == 1 else "lines are"
        raise InvalidInput(f"{path}: {len(problems)} {lines} bad: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}")
