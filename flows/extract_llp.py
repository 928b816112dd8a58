"""``extract-llp``: decode once, run every backbone, a task a shard."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.asked import asks_for, chosen, fields_of
from flows.notices import tell_of_failure
from flows.outcomes import refuses_in_one_line
from flows.parameters import ExtractRequest, Names, Placement, Text, several
from flows.run_names import named_by
from flows.shards import run_extraction
from pipeline.extraction.options import Count, ExtractOptions


@flow(
    name="extract-llp",
    flow_run_name=named_by("{backbones} → {store}"),
    on_failure=[tell_of_failure],
    on_crashed=[tell_of_failure],
)
@refuses_in_one_line
@asks_for(*fields_of(ExtractOptions, without=("backbones", "shards")), *fields_of(Placement))
def extract_llp(
    clips: Text,
    store: Text,
    backbones: Names,
    media: Text | None = None,
    split: Text | None = None,
    clip_limit: Count | None = None,
    **asked: Any,
) -> State[Any]:
    """Fill a store with features. What is there already is left alone, so a run that broke is simply run again.

    Args:
        clips: A folder of media or a tar (both also in a bucket), the LLP CSVs, or a CSV or JSONL of your own.
        store: The store: a path or a URL such as s3://bucket/llp.zarr. Made if absent.
        backbones: A name as `avvp backbones` lists them, such as vggish, or several: ["resnet152", "vggish"].
        media: Where the media files of a table are, if not beside it.
        split: Only the clips of this split, such as val.
        clip_limit: Only the first so many clips, for a first look.
        **asked: Fields of ExtractOptions and Placement; their texts are put in here.
    """
    options = chosen(ExtractOptions, asked, backbones=several(backbones))
    return run_extraction(ExtractRequest(store, options, clips, media, split, clip_limit), chosen(Placement, asked))
