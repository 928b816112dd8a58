"""Reads event labels of AVE as arrays: the class of each second, or background.

Other datasets in the same format work too, with a description of their own. There is one file per split and one event
per line, ``Category&VideoID&Quality&StartTime&EndTime``, with or without that header. If ``Annotations.txt`` exists, it
must contain every event. A line whose category is the background is a clip without events, like the 178 that weakly
supervised training adds to AVE; only the training file may have such lines.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.annotation_files import refuse_lines, segment_number
from pipeline.datasets.clip_labels import ClipLabels
from pipeline.datasets.dataset_description import DatasetDescription, load_description, read_text
from storage.errors import InvalidInput
from storage.text import lines_of

COLUMNS = ("Category", "VideoID", "Quality", "StartTime", "EndTime")
EVERYTHING = "Annotations.txt"
_SEPARATOR = "&"
_AGAIN = "#"


@dataclass(frozen=True, eq=False)
class EventLabels(ClipLabels):
    """Labels of a localization dataset; ``weak`` is float32, 1 for the class of the video's event, or :attr:`shares`.

    Attributes:
        segments: ``[videos, segments]`` int64, the class of each; the last class is the background.
    """

    PER_ROW: ClassVar[tuple[str, ...]] = ("weak", "segments")

    segments: NDArray[np.int64]

    @property
    def background(self) -> int:
        """Index of the background."""
        return len(self.dataset.classes) - 1

    @property
    def segment_classes(self) -> NDArray[np.int64]:
        """:attr:`segments`."""
        return self.segments

    @property
    def one_hot(self) -> NDArray[np.bool_]:
        """The same labels as one-hot vectors ``[videos, segments, classes]``."""
        truth: NDArray[np.bool_] = self.segments[..., None] == np.arange(len(self.dataset.classes))
        return truth

    @property
    def shares(self) -> NDArray[np.float32]:
        """``[videos, classes]``: share of a video's segments with each class, background included."""
        shares: NDArray[np.float32] = self.one_hot.mean(axis=1, dtype=np.float32)
        return shares

    def statistics(self) -> dict[str, dict[str, int]]:
        """Counts per split: clips, clips without an event, segments with one, and rows of repeated videos."""
        found = {}
        for name in dict.fromkeys(self.splits):
            part = self.split(name)
            happens = part.segments != self.background
            found[name] = {
                "clips": len(part),
                "without_event": int((~happens.any(axis=1)).sum()),
                "event_segments": int(happens.sum()),
                "annotated_again": sum(_AGAIN in row for row in part.ids),
            }
        return found

    def with_shares(self) -> Self:
        """The same labels with :attr:`shares` for ``weak``."""
        return replace(self, weak=self.shares)


@dataclass(frozen=True)
class EventRow:
    """One line of a file of events.

    Attributes:
        label: index of the class.
        clip: the video's id.
        first: segment in which the event starts.
        last: segment before which it ends; equal to ``first`` where no segment has it.
        text: the line.
    """

    label: int
    clip: str
    first: int
    last: int
    text: str


def load_events(folder: str | Path, *, dataset: DatasetDescription | str | Path = "ave") -> EventLabels:
    """Read the label files of a localization dataset.

    A video that is annotated twice gives two rows, as in the published arrays; the second is named ``ID#2``.

    Args:
        folder: where they are. Splits whose file is absent are left out.
        dataset: a description, or what :func:`load_description` takes.

    Raises:
        InvalidInput: If the description is of no localization dataset, there are no label files, or lines are
            malformed or not those of ``Annotations.txt``.
    """
    known = dataset if isinstance(dataset, DatasetDescription) else load_description(dataset)
    if not (known.background and known.event_files):
        raise InvalidInput(f"{known.source}: names no background and event_files, so it is no localization dataset")
    place, rows, splits = Path(folder).expanduser(), list[EventRow](), list[str]()
    everything = _known_lines(place / EVERYTHING, known)
    for split, file in known.event_files.items():
        if (place / file).is_file():
            found = read_events(place / file, known, among=everything)
            rows += found
            splits += [split] * len(found)
    if not rows:
        raise InvalidInput(
            f"{folder}: no events of {known.name} here. Expected {', '.join(known.event_files.values())}"
        )
    weak = np.zeros((len(rows), len(known.classes)), dtype=np.float32)
    weak[np.arange(len(rows)), [row.label for row in rows]] = 1
    segments = np.full((len(rows), known.segments), len(known.classes) - 1, dtype=np.int64)
    for number, row in enumerate(rows):
        segments[number, row.first : row.last] = row.label
    return EventLabels(known, _names(rows), tuple(splits), weak, segments, source=str(folder))


def read_events(path: Path, dataset: DatasetDescription, *, among: frozenset[str] | None = None) -> list[EventRow]:
    """Read a file of events.

    Args:
        path: the file.
        dataset: its classes and time grid.
        among: lines of events that there may be; any if not given.

    Raises:
        InvalidInput: If it cannot be read or lines are malformed; file, line and reason are named.
    """
    rows, problems = [], []
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        text = line.strip()
        if not text or (number == 1 and tuple(text.split(_SEPARATOR)) == COLUMNS):
            continue
        try:
            rows.append(_row(text, dataset))
            happens = dataset.classes[rows[-1].label] != dataset.background
            if among is not None and happens and text not in among:
                raise ValueError(f"{text!r} is not in {EVERYTHING}")
        except (InvalidInput, ValueError) as problem:
            problems.append(f"line {number}: {problem}")
    refuse_lines(path, problems)
    return rows


def _row(text: str, dataset: DatasetDescription) -> EventRow:
    fields = [field.strip() for field in text.split(_SEPARATOR)]
    if len(fields) != len(COLUMNS) or not all(fields):
        raise ValueError(f"expected {_SEPARATOR.join(COLUMNS)}, got {text!r}")
    category, clip, _, start, end = fields
    first, last = segment_number(start, dataset), segment_number(end, dataset)
    if not first <= last <= dataset.segments:
        raise ValueError(f"from {start} to {end} s: expected a span within 0 and {dataset.clip_seconds:g} s")
    return EventRow(dataset.class_index(category), clip, first, last, text)


def _known_lines(path: Path, dataset: DatasetDescription) -> frozenset[str] | None:
    if not path.is_file():
        return None
    return frozenset(row.text for row in read_events(path, dataset))


def _names(rows: list[EventRow]) -> tuple[str, ...]:
    """Row names: the video's id, with a number if the id is repeated."""
    seen: Counter[str] = Counter()
    names = []
    for row in rows:
        seen[row.clip] += 1
        names.append(row.clip if seen[row.clip] == 1 else f"{row.clip}{_AGAIN}{seen[row.clip]}")
    return tuple(names)
