"""The training runs behind an item's rows. Rows and items that train the same share a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.foreign_arrays import read_json
from pipeline.recipes.recipe import Recipe, with_changes
from pipeline.reproduce.item import Row
from storage.errors import InvalidInput

RUNS = "runs"
SCORES = "scores.json"
_DIGITS = 8
_NAMES_ONLY = ("name", "description")


@dataclass(frozen=True)
class PlannedRun:
    """One training.

    Attributes:
        recipe: in full, with its seed.
        base: name of the recipe that it starts from.
        changes: ``key=value`` to that.
        folder: of the run. Its name holds a digest of the recipe, so that a run serves every row that trains the same.
    """

    recipe: Recipe
    base: str
    changes: tuple[str, ...]
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether its test scores are there."""
        if not (self.folder / SCORES).is_file():
            return False
        remedy = "Delete it to train this run again"
        scores = read_json(self.folder / SCORES, remedy=remedy)
        test = scores.get("test", {}) if isinstance(scores, dict) else None
        if not isinstance(test, dict) or not all(isinstance(value, int | float) for value in test.values()):
            raise InvalidInput(f"{self.folder / SCORES}: expected scores by split. {remedy}")
        return "test" in scores


def plan_row(row: Row, *, out: Path, seeds: int, changes: Sequence[str]) -> tuple[PlannedRun, ...]:
    """The runs of a row: with the recipe's own seed, and with the seeds that follow it.

    Args:
        row: with a recipe.
        out: folder of all runs.
        seeds: how many.
        changes: ``key=value`` for all rows.

    Raises:
        InvalidInput: If a key or a value does not exist.
    """
    first = row.load(tuple(changes))
    runs = []
    for seed in range(first.train.seed, first.train.seed + seeds):
        own = (*row.set, *changes, f"train.seed={seed}")
        recipe = with_changes(first, [f"train.seed={seed}"])
        folder = out / RUNS / f"{first.name}-{_digest(recipe)}-seed{seed}"
        runs.append(PlannedRun(recipe, row.recipe, own, folder))
    return tuple(runs)


def train_runs(
    runs: Mapping[Path, PlannedRun], *, store_url: str, annotations: str, device: str, console: Console
) -> None:
    """Train the runs that are not finished, one after the other; a killed one goes on after its last epoch.

    Args:
        runs: by folder.
        store_url: with everything that they read.
        annotations: folder of label files.
        device: see ``avvp train``.
        console: for epochs.
    """
    from pipeline.train import run_training

    for number, run in enumerate(runs.values(), start=1):
        if run.finished:
            console.print(f"run {number} of {len(runs)}: {run.folder.name}: is there")
            continue
        console.print(f"run {number} of {len(runs)}: {run.folder.name}")
        run_training(
            recipe=run.base, store_url=store_url, annotations=annotations, out=run.folder, changes=run.changes,
            device=device, console=console,
        )  # fmt: skip


def _digest(recipe: Recipe) -> str:
    """Of everything but its name and its seed."""
    table: dict[str, Any] = {key: value for key, value in recipe.to_json().items() if key not in _NAMES_ONLY}
    del table["train"]["seed"]
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:_DIGITS]
