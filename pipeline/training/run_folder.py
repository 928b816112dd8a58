"""The folder of a run, trained or imported: which files it has, reading and writing them. Imports no torch.

| file | content |
|---|---|
| ``recipe.toml`` | the whole recipe; written last, so a folder without it is no run |
| ``provenance.json`` | the store and its arrays, the checkpoint that was imported or started from, code and versions |
| ``model.json`` | :class:`pipeline.training.run_record.RunRecord`; absent in runs of earlier versions |
| ``labels.npz`` | the label embeddings that the model reads, as ``avvp labels --import`` takes them |
| ``best/`` | the weights to predict with |
| ``last/`` | weights and optimizer, to train on; imported runs have none |

:mod:`pipeline.training.loaded_run` makes the model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.foreign_arrays import read_json, read_npz
from pipeline.recipes.recipe import Recipe, load_recipe
from pipeline.toml_tables import read_table
from pipeline.training.run_record import VERSION, RunRecord
from storage.errors import InvalidInput

RECIPE, PROVENANCE, RECORD, LABELS = "recipe.toml", "provenance.json", "model.json", "labels.npz"
BEST, LAST = "best", "last"
_BEFORE_RECIPE = (PROVENANCE, RECORD, LABELS)
STORE_FROM_RUN = "store_from_run"
"""In the provenance, a local store's path as seen from the run's folder: they may be moved together."""

_REMEDY = "Put it back, or make the run again in a new folder"

Floats = NDArray[np.float32]


def recipe_of(run: Path) -> Recipe:
    """The recipe of a run's folder.

    Raises:
        InvalidInput: If it holds no run.
    """
    if not (run / RECIPE).is_file():
        raise InvalidInput(
            f"{run}: is no run: it has no {RECIPE}. Train one: avvp train; or import one: avvp checkpoint import"
        )
    return load_recipe(run / RECIPE)


def provenance_of(run: Path) -> dict[str, Any]:
    """Provenance of a run, as written at its start.

    Raises:
        InvalidInput: If that is absent or damaged.
    """
    path = run / PROVENANCE
    found = read_json(path, remedy=_REMEDY)
    texts = isinstance(found, dict) and all(isinstance(found.get(key), str) for key in ("store", "clip_table"))
    arrays = found.get("arrays") if texts else None
    if not isinstance(arrays, dict) or not all(map(_has_fingerprint, arrays.values())):
        raise InvalidInput(f"{path}: expected store, clip_table, and arrays with their fingerprints. {_REMEDY}")
    if not _is_init(found.get("init")):
        raise InvalidInput(f"{path}: init: expected run and weights. {_REMEDY}")
    return dict(found)


def _is_init(init: object) -> bool:
    """Whether it is nothing, or what :func:`pipeline.training.run_start.load_initial` gives."""
    return init is None or (
        isinstance(init, dict) and all(isinstance(init.get(key), str) for key in ("run", "weights"))
    )


def _has_fingerprint(array: object) -> bool:
    return isinstance(array, dict) and "fingerprint" in array


def record_of(run: Path) -> RunRecord | None:
    """The record of a run's model; ``None`` for a run of an earlier version.

    Raises:
        InvalidInput: If it is damaged or of a later version.
    """
    path = run / RECORD
    if not path.exists():
        return None
    found = read_json(path, remedy=_REMEDY)
    if not isinstance(found, dict):
        raise InvalidInput(f"{path}: expected an object. {_REMEDY}")
    version = found.get("version")
    if isinstance(version, int) and version > VERSION:
        raise InvalidInput(f"{path}: is of format {version}, this avvp reads {VERSION}. Install a newer avvp-pipeline")
    return read_table(RunRecord, found, where=str(path))


def is_imported(run: Path) -> bool:
    """Whether a folder holds an imported checkpoint."""
    record = record_of(run)
    return record is not None and record.origin == "imported"


def labels_of(run: Path, record: RunRecord) -> Floats | None:
    """The label embeddings ``[classes, dim]`` in a run's folder.

    Returns:
        ``None`` where the model reads none or has its own, or an imported run takes them from a store.

    Raises:
        InvalidInput: If the file is absent, damaged or does not fit the record.
    """
    if not record.labels.needed or not record.labels.source:
        return None
    path, classes = run / LABELS, record.dataset.classes
    found = read_npz(path, f"holds no label embeddings. {_REMEDY}")
    vectors, names = found.get("embeddings", np.empty(0)), found.get("classes", np.empty(0))
    shape = (len(classes), record.labels.dim)
    if vectors.dtype != np.float32 or vectors.shape != shape or tuple(map(str, names.ravel())) != classes:
        raise InvalidInput(
            f"{path}: expected float32 embeddings {list(shape)} of the classes in {RECORD}, got "
            f"{vectors.dtype} {list(vectors.shape)} and {names.size} classes. {_REMEDY}"
        )
    if not np.isfinite(vectors).all():
        raise InvalidInput(f"{path}: embeddings hold values that are not finite. {_REMEDY}")
    return vectors


def write_run(
    folder: Path, recipe: Recipe, provenance: Mapping[str, Any], record: RunRecord, labels: ArrayLike | None
) -> None:
    """Write everything of a run but its checkpoints. Killed in between, it leaves no run.

    Args:
        folder: made if absent.
        recipe: of the run.
        provenance: plain data.
        record: of the model.
        labels: embeddings ``[classes, dim]``, where the folder keeps them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = dict(provenance)
    if (store := str(facts.get("store", ""))) and "://" not in store:
        facts[STORE_FROM_RUN] = os.path.relpath(store, folder.absolute())
    (folder / PROVENANCE).write_text(json.dumps(facts, indent=2, default=str))
    write_record(folder, record, labels)
    write_recipe(folder, recipe)


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the recipe of a run, which makes a folder one."""
    _replace(folder / RECIPE, recipe.to_toml().encode())


def write_record(folder: Path, record: RunRecord, labels: ArrayLike | None) -> None:
    """Write the record of a model, and the label embeddings before it."""
    if labels is not None:
        half = _half(folder / LABELS)
        with half.open("wb") as file:
            classes = np.asarray(record.dataset.classes)
            np.savez(file, embeddings=np.asarray(labels, dtype=np.float32), classes=classes)
        half.replace(folder / LABELS)
    _replace(folder / RECORD, json.dumps(record.to_json(), indent=2, ensure_ascii=False).encode())


def holds_other_files(folder: Path) -> bool:
    """Whether a folder that is no run holds anything but what a killed :func:`write_run` leaves."""
    own = {folder / name for name in _BEFORE_RECIPE}
    own |= {_half(path) for path in (*own, folder / RECIPE)}
    return folder.is_dir() and any(entry not in own for entry in folder.iterdir())


def _half(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _replace(path: Path, content: bytes) -> None:
    half = _half(path)
    half.write_bytes(content)
    half.replace(path)
