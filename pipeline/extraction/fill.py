"""Fills a store with the features of one clip table, in this process, on one device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from extractors.foreign_code import authors_mistakes
from extractors.views import FrameView
from pipeline.decode.clip_buffer import DecodeRequest
from pipeline.extraction.circumstances import circumstances_of
from pipeline.extraction.claims import Claims
from pipeline.extraction.decode_pools import DecodePools
from pipeline.extraction.engine import ClipSource, Engine, LoadedBackbone
from pipeline.extraction.error_log import error_log_path
from pipeline.extraction.kept_clips import make_kept_here
from pipeline.extraction.kept_intermediates import audio_views, kept_audio_views, kept_canvases
from pipeline.extraction.kept_source import KeptRequests
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.plan import Plan
from pipeline.extraction.preparation import KEPT, Chosen, Group, Prepared, engines_of, prepare
from pipeline.extraction.reporting import Reporter
from pipeline.extraction.sound_units import feeds_gpu, units_views
from pipeline.extraction.sources import LocalSource, PoolSource, media_requests
from pipeline.extraction.worker_count import niceness_beside
from pipeline.malloc import keep_freed_memory
from storage.clips import ClipTable
from storage.ledger_summary import WORTH_SAVING
from storage.writer import sweep_locks

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Run:
    """What the engines of a run share.

    Attributes:
        prepared: the store.
        reporter: told of every clip and shard.
        networks: built so far, by backbone.
        pools: keeps the decode workers from one engine to the next; ``None`` to stop them with each.
    """

    prepared: Prepared
    reporter: Reporter
    networks: MutableMapping[str, LoadedBackbone]
    pools: DecodePools | None


def fill(
    table: ClipTable,
    store_url: str,
    options: ExtractOptions,
    *,
    reporter: Reporter,
    only_prepare: bool = False,
    networks: MutableMapping[str, LoadedBackbone] | None = None,
    pools: DecodePools | None = None,
) -> None:
    """As :func:`pipeline.extraction.extract.extract`, in this process, on one device.

    Args:
        table: the clips, in row order.
        store_url: local path or fsspec URL; made if absent.
        options: what and how.
        reporter: told of the plan, every clip and every shard.
        only_prepare: make the store and its arrays, find what is missing, and stop.
        networks: by backbone, those an earlier call with the same options has built; new ones are put there.
        pools: keeps the decode workers for the next call; ``None`` to stop them after this one.
    """
    run = Run(prepare(table, store_url, options), reporter, {} if networks is None else networks, pools)
    try:
        for group in run.prepared.groups:
            _fill(run, group, only_prepare=only_prepare)
    finally:
        run.prepared.store.save_summaries(least=WORTH_SAVING)


def _fill(run: Run, group: Group, *, only_prepare: bool) -> None:
    """Do what is missing in the arrays of a group, until nothing is."""
    prepared = run.prepared
    for array in group.arrays:
        sweep_locks(prepared.store, array)
    chosen = prepared.options.shards_of(prepared.store.shards)
    plan = prepared.plan(group, shards=chosen, retry_failed=prepared.options.retry_failed)
    if not plan.tasks:
        return
    run.reporter.planned(plan, shards=prepared.store.shards)
    if only_prepare:
        return
    with open_engine(run, group, group.needed_for(plan.tasks)) as engine:
        run.reporter.running()
        _run_all(engine, plan, run, group)


def _run_all(engine: Engine, plan: Plan, run: Run, group: Group) -> None:
    """Run a plan. Shards that another process holds are looked at again until they are done, by it or by us."""
    while plan.tasks:
        claims = Claims(run.prepared.store, plan.tasks)
        engine.run(claims, locked=claims.met)
        # Who holds a shard redoes its failed rows too, if asked to: redoing them again would be for nothing.
        again = run.prepared.plan(group, shards=sorted(task.shard for task in claims.others), retry_failed=False)
        if len(again.tasks) == len(plan.tasks):
            run.reporter.waiting(len(claims.others))
            time.sleep(_POLL_SECONDS)
        plan = again


@contextmanager
def open_engine(run: Run, group: Group, needed: Sequence[Chosen]) -> Iterator[Engine]:
    """Start decode workers and build networks.

    Args:
        run: networks that it has are not built again.
        group: whose source the clips come from.
        needed: backbones of the group.
    """
    # Decode workers come first: they are up by the time that the networks are.
    with _source(run, needed, group) as source:
        engine = Engine(
            run.prepared.store,
            [_load(item, run) for item in needed],
            source,
            kept={spec.ledger_name: spec for spec in group.specs},
            identities={name: made for item in needed for name, made in item.identities.items()},
            reporter=run.reporter,
        )
        keep_freed_memory()
        yield engine


def _load(item: Chosen, run: Run) -> LoadedBackbone:
    """Build a network and what runs its batches."""
    from extractors.batch_runner import BatchRunner
    from extractors.engines.memory import give_back_freed_memory
    from extractors.engines.runtime import pick_device

    if item.extractor.name in run.networks:
        return run.networks[item.extractor.name]
    options = run.prepared.options
    device = pick_device(options.device)
    run.reporter.loading(item.extractor.name, item.weights.identity)
    (engine,) = engines_of(options, item.extractor, item.weights)
    with authors_mistakes(item.extractor):
        item.extractor.load(item.weights, device=device, precision=options.precision, engine=engine)
    give_back_freed_memory()  # the weights as their file has them
    runner = BatchRunner(item.extractor, device=device, compiled=options.compile_networks)
    facts = circumstances_of(
        device=device, engine=engine, precision=options.precision, compiled=options.compile_networks
    )
    loaded = LoadedBackbone(item.extractor, runner, facts)
    run.networks[item.extractor.name] = loaded
    return loaded


def _source(run: Run, needed: Sequence[Chosen], group: Group) -> AbstractContextManager[ClipSource]:
    from extractors.engines.runtime import pick_device

    store, options = run.prepared.store, run.prepared.options
    extractors = [item.extractor for item in needed]
    frame_views = list(dict.fromkeys(item.view for item in extractors if isinstance(item.view, FrameView)))
    sounds = list(dict.fromkeys([*audio_views(extractors), *kept_audio_views(group.specs)]))
    on_gpu = feeds_gpu(options.device)
    units = units_views(extractors) if on_gpu else ()
    request_of_row: Callable[[int], DecodeRequest]
    if group.source == KEPT:
        kept = KeptRequests(store, frame_views=frame_views, audio_views=sounds, units=units)
        if not on_gpu:  # the networks take longer by far, and starting workers would be all that a few clips need
            return nullcontext(LocalSource(lambda row: make_kept_here(kept(row), store)))
        request_of_row = kept
    else:
        canvases = kept_canvases(group.specs)
        request_of_row = media_requests(
            run.prepared.clips, options, frame_views=frame_views, audio_views=sounds, keep=canvases, units=units
        )
    return PoolSource(
        request_of_row,
        shape=request_of_row(0).shape,
        workers=options.workers,
        deadline_seconds=options.deadline_seconds,
        row_bytes=sum(spec.steps * spec.dim * 4 for item in extractors for spec in item.specs),
        shard_size=store.info.shard_size,
        budget_bytes=options.memory_bytes,
        error_log=error_log_path(store.url),
        niceness=niceness_beside(pick_device(options.device)),
        pools=run.pools,
    )
