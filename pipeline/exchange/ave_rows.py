"""Rows of AVE's published arrays: ids, splits and events, from the label files beside the features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.ave import AGAIN, COLUMNS, EVERYTHING, SEPARATOR, EventRow, read_events
from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.exchange.hdf5_arrays import read_whole, rows_in
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput

LABELS = ("labels.h5", "right_labels.h5", "labels_closs.h5")
"""Names of the class of every segment: AVE's, PSP's, and that of AVE's repository. The first that is there counts."""

MIL_LABELS = "mil_labels.h5"
NOISY_LABELS = "labels_noisy.h5"
KEY, ORDER_KEY = "avadataset", "order"
_UNKNOWN = "unknown"

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class AVERow:
    """A row of the published arrays.

    Attributes:
        id: unique; ``ID#2`` is the second event of a video, counted through the splits as the dataset counts it.
        video: the video's id.
        split: empty for a row that no order names.
        event: class index, first segment, and the segment before which it ends.
        quality: as annotated.
        index: in its file.
        place: in its split.
        noisy: whether it is one of the clips without an event that weakly supervised training adds.
    """

    id: str
    video: str
    split: str
    event: tuple[int, int, int]
    quality: str
    index: int
    place: int
    noisy: bool = False


@dataclass(frozen=True)
class AVERows:
    """All rows, those of the main arrays first and in their order.

    Attributes:
        rows: in the order of the store.
        dataset: AVE's description.
        notes: what is absent or differs, as sentences.
    """

    rows: tuple[AVERow, ...]
    dataset: DatasetDescription
    notes: tuple[str, ...]

    def table(self, *, source: str) -> ClipTable:
        """As the clips of a store."""
        seconds, classes = self.dataset.clip_seconds, self.dataset.classes
        clips = [Clip(row.id, "", 0.0, seconds, row.split, (classes[row.event[0]],)) for row in self.rows]
        return ClipTable(clips, dataset=self.dataset.name, source=source)


def read_rows(
    folder: Path, count: int, dataset: DatasetDescription, *, annotations: Path | None, noisy: int = 0
) -> AVERows:  # fmt: skip
    """Read the label files.

    Args:
        folder: with the HDF5 files.
        count: rows of the main arrays.
        dataset: AVE's description.
        annotations: ``Annotations.txt``, whose events are the rows; ``None`` to name rows by their number.
        noisy: clips without an event, which are added to the training split.

    Raises:
        InvalidInput: If events and classes are in neither file, or files do not fit each other; one line.
    """
    notes: list[str] = []
    labels = _segment_classes(folder, count, dataset)
    events = None if annotations is None else _annotated(annotations, count, dataset)
    if events is None:
        if labels is None:
            raise InvalidInput(f"{folder}: has neither {EVERYTHING} nor {LABELS[0]}. Give --clips {EVERYTHING}")
        notes.append(f"no {EVERYTHING}: the videos' ids are not known, rows are named row-0000000 and so on")
        events = [_event_of(at, row, dataset, folder) for at, row in enumerate(labels)]
    elif labels is not None:
        notes += _compare(events, labels, dataset, EVERYTHING)
    _check_categories(folder, events, dataset)
    splits = _splits(folder, count, dataset)
    if not splits:
        notes.append(f"no {_order_file('train')} and so on: the clips have no split")
    rows = [*_named(events, splits, dataset), *_noisy_rows(noisy, dataset, after=count)]
    return AVERows(tuple(rows), dataset, tuple(notes))


def write_event_files(found: AVERows, folder: Path) -> tuple[str, ...]:
    """Write the label files, and give their names; a folder that has the same ones stays as it is.

    Raises:
        InvalidInput: If rows have no split, or a file with another content is there.
    """
    files = event_files(found)
    for name, text in files.items():
        path = folder / name
        if path.exists() and (not path.is_file() or path.read_bytes() != text.encode()):
            raise InvalidInput(f"{path}: already exists, with another content. Choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    return tuple(files)


def event_files(found: AVERows) -> dict[str, str]:
    """The label files that :func:`pipeline.datasets.ave.load_events` reads, by name.

    Raises:
        InvalidInput: If rows have no split.
    """
    dataset, files = found.dataset, {EVERYTHING: [SEPARATOR.join(COLUMNS)]}
    files |= {name: [SEPARATOR.join(COLUMNS)] for name in dataset.event_files.values()}
    if not any(row.split for row in found.rows if not row.noisy):
        raise InvalidInput(f"--annotations: needs {_order_file('train')} and so on, which name the rows of each split")
    order = [*dataset.event_files, ""]
    for row in sorted(found.rows, key=lambda row: (order.index(row.split), row.place)):
        label, first, last = row.event
        times = (_time(first, dataset), _time(last, dataset))
        line = SEPARATOR.join((dataset.classes[label], row.video, row.quality, *times))
        if row.split:
            files[dataset.event_files[row.split]].append(line)
        if not row.noisy:
            files[EVERYTHING].append(line)
    return {name: "\n".join(lines) + "\n" for name, lines in files.items()}


def _time(segment: int, dataset: DatasetDescription) -> str:
    return f"{segment * dataset.segment_seconds:g}"


def _order_file(split: str) -> str:
    return f"{split}_order.h5"


def _annotated(path: Path, count: int, dataset: DatasetDescription) -> list[EventRow]:
    events = read_events(path, dataset)
    if len(events) != count:
        raise InvalidInput(f"{path}: has {len(events)} events, the features {count} rows. Give the file of all events")
    return events


def _segment_classes(folder: Path, count: int, dataset: DatasetDescription) -> Labels | None:
    """``[rows, segments]``: the class of each."""
    file = next((folder / name for name in LABELS if (folder / name).is_file()), None)
    if file is None:
        return None
    shape = (count, dataset.segments, len(dataset.classes))
    return _classes_of(read_whole(file, KEY, shape), file)


def _classes_of(one_hot: NDArray[Any], file: Path) -> Labels:
    if not ((one_hot == 0) | (one_hot == 1)).all() or not (one_hot.sum(axis=-1) == 1).all():
        raise InvalidInput(f"{file}: {KEY}: expected a single 1 in the classes of each row, and zeros")
    found: Labels = one_hot.argmax(axis=-1).astype(np.int64)
    return found


def _event_of(at: int, row: Labels, dataset: DatasetDescription, folder: Path) -> EventRow:
    background = len(dataset.classes) - 1
    where = np.flatnonzero(row != background)
    if not len(where):
        return EventRow(background, f"row-{at:07d}", 0, dataset.segments, "")
    first, last = int(where[0]), int(where[-1]) + 1
    if last - first != len(where) or len(set(row[where].tolist())) != 1:
        raise InvalidInput(f"{folder}: row {at} of the labels has several events, expected one span of one class")
    return EventRow(int(row[first]), f"row-{at:07d}", first, last, "")


def _compare(events: Sequence[EventRow], labels: Labels, dataset: DatasetDescription, file: str) -> list[str]:
    """Compare annotated events with the class of every segment.

    Raises:
        InvalidInput: If classes differ: the rows are then in another order.
    """
    background = len(dataset.classes) - 1
    own = np.full_like(labels, background)
    for at, event in enumerate(events):
        own[at, event.first : event.last] = event.label
    differs = (own != labels).any(axis=1)
    other = [at for at in np.flatnonzero(differs) if set(labels[at]) - {background, events[at].label}]
    if other:
        raise InvalidInput(
            f"{file}: {len(other)} of {len(events)} events have another class in the labels, e.g. row {other[0]}. "
            "Their order differs: give the published file, unsorted"
        )
    if not differs.any():
        return []
    first = int(np.flatnonzero(differs)[0])
    count = int(differs.sum())
    return [f"{count} events last longer or shorter in the labels than in {file}, e.g. row {first}; {file} counts"]


def _check_categories(folder: Path, events: Sequence[EventRow], dataset: DatasetDescription) -> None:
    """Compare with the labels of whole videos, where they are."""
    file = folder / MIL_LABELS
    if not file.is_file():
        return
    classes = _classes_of(read_whole(file, KEY, (len(events), len(dataset.classes))), file)
    wrong = [at for at, event in enumerate(events) if event.label != classes[at]]
    if wrong:
        raise InvalidInput(
            f"{file}: {len(wrong)} of {len(events)} rows have another class than their event, e.g. row {wrong[0]}: "
            f"{dataset.classes[classes[wrong[0]]]}, not {dataset.classes[events[wrong[0]].label]}"
        )


def _splits(folder: Path, count: int, dataset: DatasetDescription) -> Mapping[int, tuple[str, int]]:
    """Row -> its split, and its place there; empty if there are no orders."""
    found: dict[int, tuple[str, int]] = {}
    files = {split: folder / _order_file(split) for split in dataset.event_files}
    there = [file for file in files.values() if file.is_file()]
    if not there:
        return found
    for split, file in files.items():
        if not file.is_file():
            raise InvalidInput(f"{file}: no such file, but {there[0].name} is there. The splits need all of them")
        order = read_whole(file, ORDER_KEY, (rows_in(file, ORDER_KEY),))
        if order.dtype.kind not in "iu" or not ((order >= 0) & (order < count)).all():
            raise InvalidInput(f"{file}: {ORDER_KEY}: expected row numbers from 0 to {count - 1}")
        for place, row in enumerate(order.tolist()):
            if row in found:
                raise InvalidInput(f"{file}: row {row} is in {found[row][0]} already. Each row is in one split")
            found[row] = (split, place)
    return found


def _named(
    events: Sequence[EventRow], splits: Mapping[int, tuple[str, int]], dataset: DatasetDescription
) -> list[AVERow]:  # fmt: skip
    """Rows with unique ids, in the order of the arrays."""
    names, seen = dict[int, str](), Counter[str]()
    order, nowhere = [*dataset.event_files, ""], ("", 0)

    def place(at: int) -> tuple[int, int, int]:
        split, number = splits.get(at, nowhere)
        return order.index(split), number, at

    for at in sorted(range(len(events)), key=place):
        video = events[at].clip
        seen[video] += 1
        names[at] = video if seen[video] == 1 else f"{video}{AGAIN}{seen[video]}"
    return [
        AVERow(
            names[at], event.clip, splits.get(at, nowhere)[0], (event.label, event.first, event.last), _quality(event),
            at, splits.get(at, nowhere)[1],
        )
        for at, event in enumerate(events)
    ]  # fmt: skip


def _quality(event: EventRow) -> str:
    return event.text.split(SEPARATOR)[2].strip() if event.text else _UNKNOWN


def _noisy_rows(count: int, dataset: DatasetDescription, *, after: int) -> list[AVERow]:
    event = (len(dataset.classes) - 1, 0, dataset.segments)
    names = [f"noisy-{at:05d}" for at in range(count)]
    return [AVERow(name, name, "train", event, _UNKNOWN, at, after + at, noisy=True) for at, name in enumerate(names)]
