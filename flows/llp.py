"""``llp``: extraction, labels, pseudo labels, training and evaluation, as far as a recipe needs them."""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.asked import asks_for, fields_of
from flows.build_labels import build_labels
from flows.evaluate import evaluate
from flows.extract_llp import extract_llp
from flows.notices import tell_of_failure
from flows.outcomes import WITH_FAILURES, refuses_in_one_line
from flows.parameters import Several, Split, Text, several
from flows.pseudo_labels import pseudo_labels
from flows.run_names import named_by
from flows.steps import Steps
from flows.tables import key_of
from flows.train import check_folder, train
from pipeline.extraction.options import EVERY, ExtractOptions, parse_weights
from pipeline.extraction.requirements import needs_of
from pipeline.recipes.recipe import load_recipe
from storage.clips import ClipTable


@flow(
    name="llp",
    flow_run_name=named_by("{recipe} on {store} → {out}"),
    on_failure=[tell_of_failure],
    on_crashed=[tell_of_failure],
)
@refuses_in_one_line
@asks_for(*fields_of(ExtractOptions, only=("sampling", "device", "shard_size")))
def llp(
    clips: Text,
    store: Text,
    annotations: Text,
    recipe: Text,
    out: Text,
    media: Text | None = None,
    weights: Several = "pretrained",
    label_weights: Several = "pretrained",
    changes: Several = [],  # noqa: B006 - Prefect shows the default in the form
    split: Split = "test",
    **asked: Any,
) -> State[Any]:
    """From clips to scores. Each step leaves alone what is there already, so a run that broke is simply run again.

    Args:
        clips: A folder of media or a tar (both also in a bucket), the LLP CSVs, or a CSV or JSONL of your own.
        store: The store: a path or a URL. Made if absent.
        annotations: The folder with the label files of LLP.
        recipe: A recipe that is shipped, such as leap-mmpyr, or a TOML file. It says which features are made.
        out: The folder of the training run.
        media: Where the media files of a table are, if not beside it.
        weights: Of backbones: pretrained, random:SEED or a path; NAME=... for one of them.
        label_weights: Of label embedders, in the same way, e.g. glove=glove.6B.300d.txt.
        changes: Other values for the recipe, e.g. train.epochs=5.
        split: What the trained model is evaluated on.
        **asked: Fields of ExtractOptions; their texts are put in here.
    """
    needs = needs_of(load_recipe(recipe, several(changes)).features, clip_seconds=10)
    check_folder(annotations, "annotations")
    ClipTable.load(clips, media=media)
    parse_weights(several(weights), needs.backbones)
    embedder_weights = parse_weights(
        several(label_weights), needs.embedders, option="label_weights", what="label embedders"
    )
    labels = {name: embedder_weights.get(name, embedder_weights[EVERY]) for name in needs.embedders}
    first = partial(extract_llp, clips, store, list(needs.backbones), media=media, weights=weights, **asked)
    steps: list[tuple[str, partial[Any]]] = [("extract-llp", first)]
    device = asked.get("device", "auto").split(",")[0]
    for name, chosen in labels.items():
        steps.append((f"build-labels {name}", partial(build_labels, store, name, weights=chosen, device=device)))
    if needs.pseudo_labels:
        steps.append(("pseudo-labels", partial(pseudo_labels, store, needs.pseudo_labels, annotations=annotations)))
    steps.append(("train", partial(train, recipe, store, annotations, out, changes=changes)))
    steps.append(("evaluate", partial(evaluate, out, annotations, split=split)))
    return _run(steps, out)


def _run(steps: list[tuple[str, partial[Any]]], out: str) -> State[Any]:
    flows = [(name, partial(call, return_state=True)) for name, call in steps]
    ended = Steps(flows, title=f"{out}: steps done", key=key_of(out), log=get_run_logger()).run()
    last = next(reversed(ended))
    return _end_of(ended[last], ended["extract-llp"], step=last)


def _end_of(last: State[Any], extracted: State[Any], *, step: str = "") -> State[Any]:
    """A state of our own: Prefect would take a step's for one of several, and lose its message."""
    if not last.is_completed():
        return Failed(name=last.name, message=f"{step}{step and ': '}{last.message}")
    if extracted.name == WITH_FAILURES:
        return Completed(name=WITH_FAILURES, message=f"{last.message}; {extracted.message}")
    return Completed(message=last.message)
