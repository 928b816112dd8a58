"""Extraction on several devices: one worker process each, on one store."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue

from pipeline.extraction.fleet.errands import Event, ShardGivenUp
from pipeline.extraction.fleet.fleet import Fleet
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.reporting import Reporter
from pipeline.extraction.shards import prepare_shards
from pipeline.extraction.worker_count import shards_at_once
from storage.clips import ClipTable
from storage.store import FeatureStore


def fill_on_devices(table: ClipTable, store_url: str, options: ExtractOptions, *, reporter: Reporter) -> None:
    """Fill a store with one worker process a device.

    Args:
        table: the clips, in row order.
        store_url: local path or fsspec URL.
        options: what and how; decode workers and memory are shared out evenly over its devices.
        reporter: told of every clip and shard of all workers.

    Raises:
        AvvpError: What a worker was refused for.
        BackboneBroken: If no worker is left, or a shard ended three of them.
    """
    work = prepare_shards(table, store_url, options, reporter=reporter)
    if not work.shards:
        return
    at_once = shards_at_once(options.workers, FeatureStore.open(store_url).info.shard_size, len(options.devices))
    with Fleet(table, store_url, options, at_once=at_once) as fleet:
        told: SimpleQueue[Event] = SimpleQueue()
        for shard in work.shards:
            fleet.hand_in(shard, told)
        given_up = [*_follow(told, len(work.shards), reporter)]
        for device, history in fleet.lost.items():
            reporter.device_lost(device, history)
    if given_up:
        raise given_up[0]


def _follow(told: SimpleQueue[Event], shards: int, reporter: Reporter) -> Iterator[ShardGivenUp]:
    """Tell the reporter what happens, until all shards have ended. Gives the errors that leave the others alone."""
    is_loading = False
    while shards:
        event = told.get()
        shards -= event.is_last
        if event.what == "planned" or (event.what == "running" and not is_loading):
            continue  # the whole plan has been told, and every shard says that it runs
        is_loading = event.what == "loading" or (is_loading and event.what != "running")
        try:
            event.pass_on(reporter)
        except ShardGivenUp as problem:
            yield problem
