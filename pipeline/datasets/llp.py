"""Reads the annotations of LLP as arrays: weak labels of every clip, and ground truth per segment where it exists.

Other datasets in the same two formats work too, with a description of their own. Defects are kept as the published
evaluation keeps them, because repairing them changes the scores. They are listed, not repaired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.annotation_defects import Defect, count_kinds, find_defects
from pipeline.datasets.annotation_files import DenseRow, WeakRow, read_dense, read_weak
from pipeline.datasets.clip_labels import ClipLabels
from pipeline.datasets.dataset_description import DatasetDescription, load_description
from storage.errors import InvalidInput

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Annotations(ClipLabels):
    """Labels of a parsing dataset; ``weak`` is bool, true for classes that occur anywhere in the video.

    Attributes:
        audio: ``[videos, segments, classes]`` bool, what is heard; all false where there is no ground truth.
        visual: ``[videos, segments, classes]`` bool, what is seen; likewise.
        has_ground_truth: ``[videos]`` bool, whether ``audio`` and ``visual`` say anything of this row.
        defects: what is odd in the files.
    """

    PER_ROW: ClassVar[tuple[str, ...]] = ("weak", "audio", "visual", "has_ground_truth")

    audio: Bools
    visual: Bools
    has_ground_truth: Bools
    defects: tuple[Defect, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether any row has ground truth."""
        return bool(self.has_ground_truth.any())

    @property
    def audio_visual(self) -> Bools:
        """``[videos, segments, classes]`` bool: heard and seen in the same segment."""
        return self.audio & self.visual

    @property
    def revisions(self) -> tuple[str, ...]:
        """Names of older releases that these label files match, as the description calls them."""
        names = {defect.clip for defect in self.defects if defect.kind == "old_revision"}
        return tuple(revision for revision, known in self.dataset.revisions.items() if names & set(known))

    def statistics(self) -> dict[str, dict[str, int]]:
        """Counts per split: clips; clips without audio, visual or audio-visual events; positive segments of each."""
        found: dict[str, dict[str, int]] = {}
        for name in dict.fromkeys(self.splits):
            part = self.split(name)
            found[name] = {"clips": len(part), "with_ground_truth": int(part.has_ground_truth.sum())}
            if not part.has_ground_truth.any():
                continue
            for kind in ("audio", "visual", "audio_visual"):
                truth = getattr(part, kind)[part.has_ground_truth]
                found[name][f"without_{kind}"] = int((~truth.any(axis=(1, 2))).sum())
                found[name][f"{kind}_segments"] = int(truth.sum())
        return found


def load_annotations(
    folder: str | Path, *, dataset: DatasetDescription | str | Path = "llp", strict: bool = False
) -> Annotations:
    """Read the label files of a dataset.

    Args:
        folder: where they are. Splits whose file is absent are left out; without both dense files there is no ground
            truth.
        dataset: a description, or what :func:`load_description` takes.
        strict: refuse files with defects.

    Raises:
        InvalidInput: If there are no label files, lines are malformed, a clip is there twice, or ``strict`` and there
            are defects.
    """
    known = dataset if isinstance(dataset, DatasetDescription) else load_description(dataset)
    if known.event_files and not known.weak_files:
        raise InvalidInput(f"{known.source}: is a dataset of event localization: it has event_files, and no weak_files")
    place = Path(folder).expanduser()
    weak = _read_weak_files(place, known)
    dense = _read_dense_files(place, known)
    defects = find_defects(known, weak, dense)
    if strict and defects:
        counts = ", ".join(f"{count} {kind}" for kind, count in count_kinds(defects).items())
        raise InvalidInput(f"{folder}: {len(defects)} defects ({counts}); the first: {defects[0]}")
    row_of = {row.clip: number for number, row in enumerate(weak)}
    shape = (len(weak), known.segments, len(known.classes))
    audio, visual = (
        _ground_truth(dense.get(file, ()), row_of, shape) for file in (known.audio_file, known.visual_file)
    )
    judged = np.array([bool(dense) and row.split in known.dense_splits for row in weak], dtype=bool)
    audio[~judged] = visual[~judged] = False
    ids, splits = tuple(row.clip for row in weak), tuple(row.split for row in weak)
    return Annotations(known, ids, splits, _weak(weak, shape), audio, visual, judged, defects, source=str(folder))


def _read_weak_files(folder: Path, dataset: DatasetDescription) -> list[WeakRow]:
    rows: list[WeakRow] = []
    for split, file in dataset.weak_files.items():
        if (folder / file).is_file():
            rows += read_weak(folder / file, dataset, split=split)
    if not rows:
        wanted = ", ".join(dataset.weak_files.values()) or "none: its description has no weak_files"
        raise InvalidInput(f"{folder}: no weak labels of {dataset.name} here. Expected {wanted}")
    first: dict[str, WeakRow] = {}
    for row in rows:
        before = first.setdefault(row.clip, row)
        if before is not row:
            where = f"{row.file} line {row.line}"
            raise InvalidInput(f"{folder}: {where}: {row.clip} is already in {before.file} line {before.line}")
    return rows


def _read_dense_files(folder: Path, dataset: DatasetDescription) -> dict[str, list[DenseRow]]:
    """Rows by file name; empty if there are no dense files."""
    files = [file for file in (dataset.audio_file, dataset.visual_file) if file]
    there = [file for file in files if (folder / file).is_file()]
    if there and (absent := [file for file in files if file not in there]):
        raise InvalidInput(f"{folder / absent[0]}: no such file, but {there[0]} is there. Ground truth needs both")
    return {file: read_dense(folder / file, dataset) for file in there}


def _weak(rows: Sequence[WeakRow], shape: tuple[int, int, int]) -> Bools:
    labels = np.zeros((shape[0], shape[2]), dtype=bool)
    for number, row in enumerate(rows):
        labels[number, list(row.classes)] = True
    return labels


def _ground_truth(rows: Sequence[DenseRow], row_of: Mapping[str, int], shape: tuple[int, int, int]) -> Bools:
    """``[videos, segments, classes]``: the union of a class's intervals; an empty interval adds nothing.

    Source: the published evaluation of HAN (AVVP-ECCV20, ``eval_mm.py``), which all later systems share.
    """
    truth = np.zeros(shape, dtype=bool)
    for row in rows:
        video = row_of.get(row.clip)
        if video is not None:
            truth[video, row.first : row.last, row.label] = True
    return truth
