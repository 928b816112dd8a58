"""``evaluate``: ``python -m pipeline.evaluate``, and its scores as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.dashboard import show_scores
from flows.notices import tell_of_failure
from flows.outcomes import refuses_in_one_line
from flows.parameters import Split, Text
from flows.run_module import run_module
from flows.run_names import named_by
from flows.train import check_folder
from storage.errors import StoreError

MAIN_SCORES = {"average": "F1", "accuracy": "accuracy"}
"""What a task's scores come down to, and its unit: parsing's and localization's."""


@flow(
    name="evaluate",
    flow_run_name=named_by("{run} on {split}", split="test"),
    on_failure=[tell_of_failure],
    on_crashed=[tell_of_failure],
)
@refuses_in_one_line
def evaluate(run: Text, annotations: Text, split: Split = "test", store: Text | None = None) -> State[Any]:
    """Score a run exactly as the published code does.

    Args:
        run: The folder of a run that `train` has made, or of a published checkpoint that was imported.
        annotations: The folder with the label files of the dataset.
        split: val or test.
        store: The features. Empty for the store that the run was trained on or imported for.
    """
    check_folder(run, "run")
    check_folder(annotations, "annotations")
    file = Path(run) / f"scores-{split}.json"
    options = ["--run", run, "--annotations", annotations, "--split", split, "--json", str(file)]
    options += [] if store is None else ["--store", store]
    run_module("pipeline.evaluate", options, log=get_run_logger())
    scores = read_scores(file)
    main, unit = next((name, unit) for name, unit in MAIN_SCORES.items() if name in scores)
    show_scores(scores, title=f"{Path(run).name} on {split}, {unit} in %. In full: {file.resolve()}", run=run)
    return Completed(message=f"{run}, {split}: {main} {scores[main]:.1f}")


def read_scores(file: Path) -> dict[str, float]:
    """The scores of a file that ``pipeline.evaluate --json`` wrote.

    Raises:
        StoreError: If there are none in it.
    """
    try:
        scores = {name: float(value) for name, value in json.loads(file.read_text(encoding="utf-8"))["scores"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise StoreError(f"{file}: no scores in it ({problem}). Evaluate again") from problem
    if not any(name in scores for name in MAIN_SCORES):
        wanted = " or ".join(MAIN_SCORES)
        raise StoreError(f"{file}: has {', '.join(scores) or 'nothing'}, but no {wanted}. Evaluate again")
    return scores
