"""Decisions of several runs on the videos that all of them have predictions for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np

from pipeline.datasets.llp import Annotations
from pipeline.metrics.subsets import Overlap, overlapping
from pipeline.reports.evaluation import Bools, Decided, decide_predictions, read_predictions, run_predictions
from pipeline.training.run_folder import is_imported, recipe_of
from pipeline.training.run_store import open_run_store
from storage.errors import InvalidInput

Loaded = TypeVar("Loaded")


def decided_together(
    runs: Sequence[Path], annotations: Annotations, split: str, *, subset: str | None = None,
    store_url: str | None = None,
) -> dict[str, Decided]:  # fmt: skip
    """Decisions of runs, by the names of their folders, on the same videos in the same order.

    Args:
        runs: their folders, or predictions files.
        annotations: of the dataset.
        split: whose predictions to read.
        subset: ``overlapping:READING`` or ``non-overlapping:READING``.
        store_url: to predict imported checkpoints from; ``None`` for their predictions, or else for the store that they
            were imported for.

    Raises:
        InvalidInput: If a run has no predictions, the runs share no video, or the subset is unknown or empty.
    """
    found = by_name(runs, lambda run: decided_run(run, annotations, split, store_url))
    shared = shared_ids([one.ids for one in found.values()], split)
    rows = _subset(annotations.align(shared, asker="compare"), subset)
    kept = [name for name, chosen in zip(shared, rows, strict=True) if chosen]
    return {name: one.on(kept) for name, one in found.items()}


def by_name(runs: Sequence[Path], load: Callable[[Path], Loaded]) -> dict[str, Loaded]:
    """Result of ``load`` for each run, by the name of its folder.

    Raises:
        InvalidInput: If two have the same name.
    """
    found = {run.name: load(run) for run in runs}
    if len(found) < len(runs):
        raise InvalidInput(
            "compare: two runs have the same folder name; rename one, the table could not tell them apart"
        )
    return found


def shared_ids(ids: Sequence[Sequence[str]], split: str) -> list[str]:
    """Names that all lists contain, in the order of the first.

    Raises:
        InvalidInput: If there are none.
    """
    common = set(ids[0]).intersection(*ids[1:])
    if not common:
        raise InvalidInput(f"compare: the runs have no video of {split} in common")
    return [name for name in ids[0] if name in common]


def predictions_of(run: Path, split: str) -> Path:
    """The predictions file of a run's folder.

    Raises:
        InvalidInput: If there is none yet.
    """
    file = _predictions_file(run, split)
    if not file.is_file():
        raise InvalidInput(f"{run}: has no predictions of {split} yet; train it to the end")
    return file


def decided_run(run: Path, annotations: Annotations, split: str, store_url: str | None) -> Decided:
    """Decisions of a run's folder, or of a predictions file.

    Raises:
        InvalidInput: If it has no predictions of the split.
    """
    if run.is_file():
        return decide_predictions(read_predictions(run), annotations, split, source=str(run))
    recipe = recipe_of(run)
    if is_imported(run) and (store_url or not _predictions_file(run, split).is_file()):
        found = run_predictions(run, open_run_store(run, store_url), annotations, split)
    else:
        found = read_predictions(predictions_of(run, split))
    mask, threshold = recipe.evaluate.mask, recipe.evaluate.threshold
    return decide_predictions(found, annotations, split, mask=mask, threshold=threshold, source=str(run))


def _predictions_file(run: Path, split: str) -> Path:
    return run / f"predictions-{split}.npz"


def _subset(truth: Annotations, subset: str | None) -> Bools:
    if subset is None:
        return np.ones(len(truth), dtype=bool)
    kind, _, reading = subset.partition(":")
    if kind not in ("overlapping", "non-overlapping") or reading not in get_args(Overlap):
        raise InvalidInput(
            f"--subset {subset}: expected overlapping:READING or non-overlapping:READING, "
            f"READING one of {', '.join(get_args(Overlap))}"
        )
    rows = overlapping(truth.audio, truth.visual, reading=reading)  # type: ignore[arg-type]
    chosen = rows if kind == "overlapping" else ~rows
    if not chosen.any():
        raise InvalidInput(f"--subset {subset}: no video is in it")
    return chosen
