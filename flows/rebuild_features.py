"""``rebuild-features``: one backbone of an existing store, from kept frames if there are any."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.asked import asks_for, chosen, fields_of
from flows.notices import tell_of_failure
from flows.outcomes import refuses_in_one_line
from flows.parameters import ExtractRequest, Placement, Several, Text, several
from flows.run_names import named_by
from flows.shards import run_extraction
from pipeline.extraction.options import ExtractOptions
from storage.store import FeatureStore

ASKED = ("sampling", "precision", "device", "engine", "workers", "retry_failed")


@flow(
    name="rebuild-features",
    flow_run_name=named_by("{backbone} → {store}"),
    on_failure=[tell_of_failure],
    on_crashed=[tell_of_failure],
)
@refuses_in_one_line
@asks_for(*fields_of(ExtractOptions, only=ASKED), *fields_of(Placement))
def rebuild_features(
    store: Text,
    backbone: Text,
    weights: Several = "pretrained",
    clips: Text | None = None,
    media: Text | None = None,
    **asked: Any,
) -> State[Any]:
    """Make one backbone's features anew, or go on doing so; no other array is touched.

    Frames and waveforms that the store has kept are read instead of the media. Features that were made
    just as asked for here are left alone.

    Args:
        store: An existing store.
        backbone: As `avvp backbones` lists it.
        weights: pretrained, random:SEED or a path.
        clips: The clip table, if its files are elsewhere now. Empty: the clips that the store lists.
        media: Where the media files of that table are, if not beside it.
        **asked: Fields of ExtractOptions and Placement; their texts are put in here.
    """
    options = chosen(
        ExtractOptions, asked, backbones=(backbone,), weights=several(weights), rebuild=True,
        clip_seconds=FeatureStore.open(store).info.clip_seconds,
    )  # fmt: skip
    return run_extraction(ExtractRequest(store, options, clips, media), chosen(Placement, asked))
