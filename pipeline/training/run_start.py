"""Starts a run in its folder, or checks that the folder belongs to the same run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.recipes.recipe import Recipe, differences, load_recipe
from pipeline.training.checkpoint import check_can_go_on, find_checkpoint, load_weights
from pipeline.training.loaded_run import best_checkpoint, weights_identity
from pipeline.training.run_folder import (
    LAST,
    RECIPE,
    holds_other_files,
    is_imported,
    labels_of,
    provenance_of,
    recipe_of,
    record_of,
    write_recipe,
    write_record,
    write_run,
)
from pipeline.training.run_record import RunRecord
from pipeline.training.run_setup import provenance
from storage.errors import InvalidInput
from storage.store import FeatureStore

_SHOWN = 3
_SPANS_ALL_EPOCHS = "warmup_cosine"
"""The schedule whose rates depend on the number of epochs."""


def load_initial(init: Path, model: nn.Module) -> dict[str, str]:
    """Put the best weights of another run into a fresh model.

    Args:
        init: folder of that run, trained or imported.
        model: changed in place.

    Returns:
        The run and the identity of its weights, for the provenance.

    Raises:
        InvalidInput: If the folder holds no run or no finished epoch.
        WeightsError: If the weights are damaged or of another model.
    """
    recipe_of(init)
    best = best_checkpoint(init)
    load_weights(best, model, remedy=f"To start from it, train with its model: --recipe {init / RECIPE}")
    return {"run": str(init.absolute()), "weights": weights_identity(best)}


def labels_note(init: Path, labels: Tensor | None) -> str:
    """Says that a run reads other label embeddings than the run whose weights it begins with; empty if not so."""
    record = record_of(init)
    before = None if record is None else labels_of(init, record)
    if before is None or labels is None or np.array_equal(before, labels.cpu().numpy()):
        return ""
    return ", but reads other label embeddings than that run did"


def start_folder(
    out: Path, recipe: Recipe, store: FeatureStore, record: RunRecord, labels: Tensor | None,
    *, init: Mapping[str, str] | None,
) -> None:  # fmt: skip
    """Write a new run's recipe, provenance, record and label embeddings, or check those that are there.

    Args:
        out: the run's folder.
        recipe: of the run.
        store: to train on.
        record: of the model.
        labels: embeddings that the model reads, or ``None``.
        init: see :func:`load_initial`; ``None`` for fresh weights.

    Raises:
        InvalidInput: If the folder holds anything but this run.
    """
    vectors = None if labels is None else labels.numpy()
    facts = provenance(recipe, store) | ({} if init is None else {"init": dict(init)})
    if not (out / RECIPE).is_file():
        if holds_other_files(out):
            raise InvalidInput(f"{out}: contains other files. Choose another --out")
        write_run(out, recipe, facts, record, vectors)
        return
    longer = _check_same_run(out, recipe, store, facts)
    known = record_of(out)
    if known is None:  # of an earlier version
        write_record(out, record, vectors)
    else:
        _check_labels(out, known, record, vectors)
    if longer:
        write_recipe(out, recipe)


def _check_labels(out: Path, known: RunRecord, record: RunRecord, vectors: NDArray[np.float32] | None) -> None:
    stored = labels_of(out, known)
    same_labels = stored is None or vectors is None or np.array_equal(stored, vectors)
    if not same_labels or known.dataset.classes != record.dataset.classes:
        what = "label embeddings" if not same_labels else "classes"
        raise InvalidInput(f"{out}: was trained with other {what}. Give another --out")


def _check_same_run(out: Path, recipe: Recipe, store: FeatureStore, facts: Mapping[str, Any]) -> bool:
    """Returns whether it is to be the same run with more epochs than before."""
    if is_imported(out):
        raise InvalidInput(
            f"{out}: is an imported checkpoint, without the state of an optimizer. Start from its weights in a new "
            f"folder: --init {out} --out NEW"
        )
    known = load_recipe(out / RECIPE)
    found = differences(known, recipe)
    longer = recipe.train.epochs > known.train.epochs and not differences(known, _with_epochs(recipe, known))
    if longer:
        _check_may_grow(out, recipe, known.train.epochs)
    elif found:
        raise InvalidInput(f"{out}: is a run of another recipe: {'; '.join(found[:_SHOWN])}. Give another --out")
    stored = provenance_of(out)
    prints = [{name: array["fingerprint"] for name, array in one["arrays"].items()} for one in (stored, facts)]
    if prints[0] != prints[1] or stored["clip_table"] != facts["clip_table"]:
        raise InvalidInput(f"{out}: was trained on other features than {store.url} has. Give another --out")
    before, now = (one.get("init") or {} for one in (stored, facts))
    if before.get("weights") != now.get("weights"):
        began, given = (f"the weights of {one['run']}" if one else "fresh weights" for one in (before, now))
        raise InvalidInput(
            f"{out}: began with {began}, and is to go on with {given}. Give the same --init as before, or another --out"
        )
    return longer


def _with_epochs(recipe: Recipe, other: Recipe) -> Recipe:
    """A recipe with as many epochs as another one has."""
    return replace(recipe, train=replace(recipe.train, epochs=other.train.epochs))


def _check_may_grow(out: Path, recipe: Recipe, before: int) -> None:
    """Refuse more epochs where earlier ones would have been others, or where the optimizer's state is gone."""
    if recipe.train.schedule == _SPANS_ALL_EPOCHS:
        raise InvalidInput(
            f"{out}: is a run of {before} epochs, and its learning rate (train.schedule={_SPANS_ALL_EPOCHS}) depends "
            f"on that: with {recipe.train.epochs} epochs each would have been another. Give another --out"
        )
    last = find_checkpoint(out / LAST)
    if last is not None:
        check_can_go_on(last)
