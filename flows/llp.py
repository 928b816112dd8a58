"""``llp``: extraction, labels, pseudo labels, training and evaluation, as far as a recipe needs them."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.asked import asks_for, fields_of
from flows.build_labels import build_labels
from flows.evaluate import evaluate
from flows.extract_llp import extract_llp
from flows.outcomes import WITH_FAILURES, refuses_in_one_line
from flows.parameters import Several, Split, Text, several
from flows.pseudo_labels import pseudo_labels
from flows.train import check_folder, train
from pipeline.extraction.options import ExtractOptions, parse_weights
from pipeline.extraction.requirements import needs_of
from pipeline.recipes.recipe import load_recipe
from storage.clips import ClipTable


@flow(name="llp")
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
        clips: A folder of media, the LLP CSVs (a file or their folder), or a CSV or JSONL of your own.
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
    device = asked.get("device", "auto").split(",")[0]
    ended = extract_llp(clips, store, list(needs.backbones), media=media, weights=weights, return_state=True, **asked)
    extracted = ended
    for embedder in needs.embedders:
        if ended.is_completed():
            chosen = embedder_weights.get(embedder, embedder_weights[""])
            ended = build_labels(store, embedder, weights=chosen, device=device, return_state=True)
    if needs.pseudo_labels and ended.is_completed():
        ended = pseudo_labels(store, needs.pseudo_labels, annotations=annotations, return_state=True)
    if ended.is_completed():
        ended = train(recipe, store, annotations, out, changes=changes, return_state=True)
    if ended.is_completed():
        ended = evaluate(out, annotations, split=split, return_state=True)
    return _end_of(ended, extracted)


def _end_of(last: State[Any], extracted: State[Any]) -> State[Any]:
    """A state of our own: Prefect would take a step's for one of several, and lose its message."""
    if not last.is_completed():
        return Failed(name=last.name, message=last.message)
    if extracted.name == WITH_FAILURES:
        return Completed(name=WITH_FAILURES, message=f"{last.message}; {extracted.message}")
    return Completed(message=last.message)
