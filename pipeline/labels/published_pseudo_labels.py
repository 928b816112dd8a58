"""Imports published pseudo labels: zeros and ones, or soft ones between them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.extraction.provenance import now, versions
from pipeline.labels.label_files import MODALITIES, LabelFiles, open_labels
from pipeline.labels.pseudo_labels import PROVENANCE_LIBRARIES
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.layout.label_schema import LabelProvenance, PseudoLabels
from storage.store import FeatureStore
from storage.tables.file_stems import FileStems


def import_pseudo_labels(
    store_url: str | os.PathLike[str],
    source: str | Path,
    *,
    dataset: DatasetDescription,
    name: str = "valor",
    subset: bool = False,
    rebuild: bool = False,
) -> tuple[PseudoLabels, bool]:
    """``avvp pseudo-labels --import``: read published pseudo labels.

    Args:
        store_url: an existing store; its clips are matched by their ids, those of LLP by their YouTube ids too.
        source: VALOR's folder, with ``CLAP/segment_pseudo_labels`` and ``CLIP/segment_pseudo_labels``; an archive
            ``.npz`` with ``id [clips]``, ``audio`` and ``visual [clips, segments, classes]``; or LSLD's archive or
            pickle, a dictionary of clips for ``label_a`` and ``label_v`` each. A clip's labels are
            ``[segments, classes]``, from 0 to 1; they are soft if any is neither.
        dataset: classes and segments.
        name: of the group.
        subset: whether there may be labels of clips that the store lacks.
        rebuild: replace pseudo labels that differ.

    Returns:
        The pseudo labels, without logits, ``known`` where there are labels; and whether they were written.

    Raises:
        InvalidInput: If something is absent or malformed, or belongs to no clip or to two.
    """
    store, files = FeatureStore.open(store_url), open_labels(Path(source).expanduser())
    stems = FileStems(store.ids)
    shape = (len(stems.ids), dataset.segments, len(dataset.classes))
    made: dict[str, NDArray[np.float32]] = {}
    known: dict[str, NDArray[np.bool_]] = {}
    for modality in MODALITIES:
        made[modality], known[modality] = np.zeros(shape, np.float32), np.zeros(shape[0], bool)
        for row, label in _rows(files, modality, stems, subset=subset, store_url=store.url).items():
            values = files.read(modality, label)
            made[modality][row] = _checked(values, shape[1:], files.place(modality, label))
            known[modality][row] = True
    if (differ := np.flatnonzero(known["audio"] != known["visual"])).size:
        clip, lacking = store.ids[differ[0]], "visual" if known["audio"][differ[0]] else "audio"
        raise InvalidInput(f"{files.where[lacking]}: has no {lacking} labels of {clip!r}, but the others")
    maker = "valor" if files.separate else "published"
    labels = _pseudo_labels(name, made, known["audio"], dataset.classes, maker=maker, source=str(source))
    return labels, LabelStore.open(store_url).write_pseudo_labels(labels, rebuild=rebuild)


def _pseudo_labels(
    name: str, made: dict[str, NDArray[np.float32]], known: NDArray[np.bool_], classes: tuple[str, ...], *, maker: str,
    source: str,
) -> PseudoLabels:  # fmt: skip
    soft = any(not np.isin(values, (0, 1)).all() for values in made.values())
    kind: Any = np.float32 if soft else np.uint8
    audio, visual = (made[modality].astype(kind) for modality in MODALITIES)
    digest = hashlib.sha256(audio.tobytes() + visual.tobytes()).hexdigest()
    facts: dict[str, Any] = {"imported": True, "sha256": digest, **({"soft": True} if soft else {})}
    libraries = versions(PROVENANCE_LIBRARIES)
    origin = LabelProvenance(maker, "1", "", facts, weights_source=source, libraries=libraries, created=now())
    return PseudoLabels(name, origin, classes, audio, visual, known)


def _rows(
    files: LabelFiles, modality: str, stems: FileStems, *, subset: bool, store_url: str
) -> dict[int, str]:  # fmt: skip
    """The name under which a modality has labels of a row."""
    names, where = files.names[modality], files.where[modality]
    clip_of, row_of = stems.clips(), {name: row for row, name in enumerate(stems.ids)}
    shared = (name for name in names if name not in row_of)
    stems.refuse_shared(shared, where=where, remedy="Name each by its whole id")
    if unknown := [] if subset else [name for name in names if name not in clip_of]:
        raise InvalidInput(
            f"{where}: {store_url} has no clip {unknown[0]!r} ({_count(unknown)}). "
            "If it holds a part of them only, add --subset"
        )
    found: dict[int, str] = {}
    for name in names:
        if name in clip_of and found.setdefault(row_of[clip_of[name]], name) != name:
            other = found[row_of[clip_of[name]]]
            raise InvalidInput(f"{where}: {other!r} and {name!r} are both of clip {clip_of[name]!r}")
    return found


def _count(unknown: Sequence[str]) -> str:
    return f"{len(unknown)} like this"


def _checked(labels: NDArray[Any], shape: tuple[int, int], where: str) -> NDArray[np.float32]:
    right = labels.shape == shape and labels.dtype.kind in "biuf"
    if not right or not ((labels >= 0) & (labels <= 1)).all():
        got = f"{labels.dtype} {list(labels.shape)}" + (" with values outside" if right else "")
        raise InvalidInput(f"{where}: expected numbers from 0 to 1, {list(shape)} (segments, classes), got {got}")
    return labels.astype(np.float32)
