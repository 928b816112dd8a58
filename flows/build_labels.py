"""``build-labels``: stores embeddings of a dataset's class names."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.notices import tell_of_failure
from flows.outcomes import refuses_in_one_line
from flows.parameters import Embedder, Several, Text, several
from flows.run_names import named_by
from pipeline.datasets.dataset_description import load_description
from pipeline.extraction.options import EVERY, parse_weights
from pipeline.labels.embeddings import make_labels


@flow(
    name="build-labels",
    flow_run_name=named_by("labels/{embedder} → {store}"),
    on_failure=[tell_of_failure],
    on_crashed=[tell_of_failure],
)
@refuses_in_one_line
def build_labels(
    store: Text,
    embedder: Embedder,
    weights: Several = "pretrained",
    dataset: Text = "llp",
    prompts: Text | None = None,
    tokenizer: Text | None = None,
    device: Text = "auto",
    rebuild: bool = False,
) -> State[Any]:
    """Embed the class names of a dataset into a store's labels. What is there already is left alone.

    Args:
        store: An existing store.
        embedder: glove, bert, clip, clap, or clip:MODEL/PRETRAINED.
        weights: pretrained, random:SEED or a path.
        dataset: llp, or a TOML file of your own.
        prompts: names, leap, valor or a TOML file. Empty: leap for glove and bert, valor for others.
        tokenizer: bert, clap: the tokenizer's folder, where the hub's is not at hand.
        device: auto, cpu or cuda:0.
        rebuild: Replace embeddings that were made otherwise.
    """
    asked = parse_weights(several(weights), (embedder,), what="label embedders")
    made, written = make_labels(
        store,
        embedder=embedder,
        dataset=load_description(dataset),
        weights=asked.get(embedder, asked[EVERY]),
        prompts=prompts,
        options={"tokenizer": tokenizer},
        device=device,
        rebuild=rebuild,
    )
    classes, dim = made.vectors.shape
    if not written:
        return Completed(message=f"labels/{made.spec.name}: nothing to do, the same is there")
    return Completed(message=f"labels/{made.spec.name}: {classes} classes, {dim} numbers each")
