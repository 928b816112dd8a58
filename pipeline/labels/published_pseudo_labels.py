"""Imports VALOR's published pseudo labels: one ``.npy`` per clip and modality."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.extraction.provenance import now, versions
from pipeline.foreign_arrays import read_npy
from pipeline.labels.pseudo_labels import PROVENANCE_LIBRARIES
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.layout.label_schema import LabelProvenance, Labels, PseudoLabels
from storage.store import FeatureStore
from storage.tables.file_stems import FileStems

FOLDERS = {"audio": "CLAP/segment_pseudo_labels", "visual": "CLIP/segment_pseudo_labels"}
"""Where VALOR keeps them: what CLAP hears, what CLIP sees."""

_REMEDY = "Name each by its whole id"


def import_pseudo_labels(
    store_url: str | os.PathLike[str],
    folder: str | Path,
    *,
    dataset: DatasetDescription,
    name: str = "valor",
    subset: bool = False,
    rebuild: bool = False,
) -> tuple[PseudoLabels, bool]:
    """``avvp pseudo-labels --import``: read VALOR's folders.

    Args:
        store_url: an existing store; its clips are matched by their ids, those of LLP by their YouTube ids too.
        folder: with ``CLAP/segment_pseudo_labels`` and ``CLIP/segment_pseudo_labels``, each with ``<id>.npy``
            ``[segments, classes]`` of zeros and ones.
        dataset: classes and segments.
        name: of the group.
        subset: whether there may be files of clips that the store lacks.
        rebuild: replace pseudo labels that differ.

    Returns:
        The pseudo labels, without logits, ``known`` where there are files; and whether they were written.

    Raises:
        InvalidInput: If folders or one of a clip's two files are absent, a file is malformed, or belongs to no clip.
    """
    store, place = FeatureStore.open(store_url), Path(folder).expanduser()
    stems = FileStems(store.ids)
    shape = (len(stems.ids), dataset.segments, len(dataset.classes))
    made: dict[str, Labels] = {}
    known: dict[str, NDArray[np.bool_]] = {}
    digest = hashlib.sha256()
    for modality, inner in FOLDERS.items():
        made[modality], known[modality] = np.zeros(shape, np.uint8), np.zeros(shape[0], bool)
        for row, path in _files(place / inner, stems, subset=subset, store_url=store.url).items():
            made[modality][row] = _read(path, shape[1:])
            known[modality][row] = True
        digest.update(made[modality].tobytes())
    if (differ := np.flatnonzero(known["audio"] != known["visual"])).size:
        clip, lacking = store.ids[differ[0]], "visual" if known["audio"][differ[0]] else "audio"
        raise InvalidInput(f"{place / FOLDERS[lacking]}: has no file for {clip!r}, the other folder has one")
    facts = {"imported": True, "sha256": digest.hexdigest()}
    provenance = LabelProvenance(
        "valor", "1", "", facts, weights_source=str(folder), libraries=versions(PROVENANCE_LIBRARIES), created=now()
    )
    labels = PseudoLabels(name, provenance, dataset.classes, made["audio"], made["visual"], known["audio"])
    return labels, LabelStore.open(store_url).write_pseudo_labels(labels, rebuild=rebuild)


def _files(folder: Path, stems: FileStems, *, subset: bool, store_url: str) -> dict[int, Path]:
    """The file of each row that has one."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder. Expected VALOR's {' and '.join(FOLDERS.values())}")
    files = {path.stem: path for path in sorted(folder.glob("*.npy"))}
    clip_of, row_of = stems.clips(), {name: row for row, name in enumerate(stems.ids)}
    stems.refuse_shared((name for name in files if name not in row_of), where=folder, remedy=_REMEDY)
    if unknown := [] if subset else [name for name in files if name not in clip_of]:
        raise InvalidInput(
            f"{files[unknown[0]]}: {store_url} has no such clip ({len(unknown)} files like this). "
            "If it holds a part of them only, add --subset"
        )
    found: dict[int, Path] = {}
    for name in files.keys() & clip_of.keys():
        other = found.setdefault(row_of[clip_of[name]], files[name])
        if other is not files[name]:
            raise InvalidInput(f"{folder}: {other.name} and {files[name].name} are both of clip {clip_of[name]!r}")
    return found


def _read(path: Path, shape: tuple[int, int]) -> Labels:
    labels = read_npy(path, "not a .npy file")
    if labels.shape != shape or labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        got = f"{labels.dtype} {list(labels.shape)}"
        raise InvalidInput(f"{path}: expected zeros and ones {list(shape)} (segments, classes), got {got}")
    return labels.astype(np.uint8)
