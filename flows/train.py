"""``train``: ``python -m pipeline.train`` with its lines in the run's log."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.notices import tell_of_failure
from flows.outcomes import refuses_in_one_line
from flows.parameters import Several, Text, several
from flows.run_module import run_module
from flows.run_names import named_by
from flows.tables import key_of, plain_markdown
from pipeline.recipes.recipe import load_recipe
from storage.errors import InvalidInput
from storage.store import FeatureStore
from storage.text import visible


def check_folder(path: str, name: str) -> None:
    """Refuse a parameter that names no folder.

    Raises:
        InvalidInput: If there is none.
    """
    if not Path(path).is_dir():
        raise InvalidInput(f"{name} {path}: no such folder")


def run_summary(out: str, annotations: str) -> str:
    """Markdown: where the run is, and what to do with it."""
    run, labels = shlex.quote(visible(out)), shlex.quote(visible(annotations))
    lines = [f"### {plain_markdown(Path(out).name)}", "", f"In {plain_markdown(Path(out).resolve())}", "", "```"]
    lines += [f"avvp evaluate --run {run} --annotations {labels} --split test", f"tensorboard --logdir {run}", "```"]
    return "\n".join(lines)


@flow(
    name="train",
    flow_run_name=named_by("{recipe} on {store} → {out}"),
    on_failure=[tell_of_failure],
    on_crashed=[tell_of_failure],
)
@refuses_in_one_line
def train(recipe: Text, store: Text, annotations: Text, out: Text, changes: Several = []) -> State[Any]:  # noqa: B006
    """Train a parser on the features of a store. A run that broke goes on after its last whole epoch.

    Args:
        recipe: A recipe that is shipped, such as leap-mmpyr, or a TOML file.
        store: A store with the features that the recipe reads.
        annotations: The folder with the label files of the dataset.
        out: The folder of the run. Made if absent.
        changes: Other values for the recipe, e.g. train.epochs=5.
    """
    load_recipe(recipe, several(changes))
    check_folder(annotations, "annotations")
    FeatureStore.open(store)
    options = ["--recipe", recipe, "--store", store, "--annotations", annotations, "--out", out]
    options += [part for change in several(changes) for part in ("--set", change)]
    run_module("pipeline.train", options, log=get_run_logger())
    create_markdown_artifact(run_summary(out, annotations), key=f"{key_of(out)}-run", description="The run's folder")
    return Completed(message=f"{out}: trained")
