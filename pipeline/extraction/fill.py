"""Fills a store with the features of one clip table, in this process, on one device."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from extractors import registry
from extractors.base import Extractor
from extractors.views import FrameView
from extractors.weights.loading import ResolvedWeights
from extractors.weights.several import resolve_all
from pipeline.decode.fingerprint import clip_fingerprint
from pipeline.extraction.decode_pools import DecodePools
from pipeline.extraction.engine import ClipSource, Engine, LoadedBackbone
from pipeline.extraction.error_log import error_log_path
from pipeline.extraction.kept_intermediates import (
    LOGMEL_LEDGER,
    audio_views,
    kept_audio_views,
    kept_canvases,
    kept_specs,
    makes_logmel,
)
from pipeline.extraction.kept_source import KeptSource, can_read_kept
from pipeline.extraction.options import EVERY, ExtractOptions
from pipeline.extraction.plan import Plan, make_plan
from pipeline.extraction.provenance import provenance_of
from pipeline.extraction.reporting import Reporter
from pipeline.extraction.sources import MediaSource
from pipeline.malloc import keep_freed_memory
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.layout.decoded import DecodedSpec
from storage.schema import fingerprint
from storage.store import FeatureStore
from storage.writer import sweep_locks

KEPT = "decoded"
MEDIA = "media"
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class _Chosen:
    """A backbone of this run before its network is loaded, and where its input comes from."""

    extractor: Extractor
    weights: ResolvedWeights
    source: str
    identities: Mapping[str, str]


@dataclass(frozen=True)
class _Run:
    """What every step of a run needs."""

    store: FeatureStore
    clips: Sequence[Clip]
    options: ExtractOptions
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
    extractors = _create(options)
    weights = resolve_all([(item, _weights_of(item, options)) for item in extractors])
    specs = kept_specs(options.keep, extractors, clip_seconds=options.clip_seconds, sampling=options.sampling)
    store = FeatureStore.open_or_create(
        store_url, table, clip_seconds=options.clip_seconds, shard_size=options.shard_size
    )
    chosen = [_prepare(store, item, found, options) for item, found in zip(extractors, weights, strict=True)]
    for spec in specs:
        store.ensure_decoded(spec)
    run = _Run(store, table.clips, options, reporter, {} if networks is None else networks, pools)
    for source in (MEDIA, KEPT):
        group = [item for item in chosen if item.source == source]
        _fill(run, group, specs if source == MEDIA else (), only_prepare=only_prepare)


def _create(options: ExtractOptions) -> list[Extractor]:
    """The backbones asked for, each array once."""
    from extractors.engines.runtime import check_precision, pick_device
    from extractors.engines.selection import pick_engine

    for name in options.devices:
        device = pick_device(name)
        check_precision(options.precision, device)
        pick_engine(options.engine, device=device, precision=options.precision, compiled=options.compile_networks)
    names = list(dict.fromkeys(options.backbones))
    made = [registry.create(name, clip_seconds=options.clip_seconds) for name in names]
    maker: dict[str, str] = {}
    for item in made:
        for spec in item.specs:
            if spec.name in maker:
                both = f"{maker[spec.name]} and {item.name}"
                raise InvalidInput(f"--backbone: {both} both give the array {spec.name}: leave out one of them")
            maker[spec.name] = item.name
    return made


def _engines(options: ExtractOptions, extractor: Extractor, weights: ResolvedWeights) -> list[str]:
    """What runs a backbone's network on each device."""
    from extractors.engines.runtime import pick_device

    return [
        extractor.choose_engine(
            options.engine,
            weights,
            device=pick_device(name),
            precision=options.precision,
            compiled=options.compile_networks,
        )
        for name in options.devices
    ]


def _weights_of(extractor: Extractor, options: ExtractOptions) -> str:
    chosen = options.weights_by_backbone
    return chosen.get(extractor.name, chosen[EVERY])


def _prepare(store: FeatureStore, extractor: Extractor, weights: ResolvedWeights, options: ExtractOptions) -> _Chosen:
    """Make a backbone's arrays, or check the ones there. An array that exists keeps its source."""
    names = [spec.name for spec in extractor.specs]
    there = {store.provenance(name).source for name in names if name in store.features}
    if there and not options.rebuild:
        source = there.pop()
    else:
        source = KEPT if can_read_kept(store, extractor, options.sampling) else MEDIA
    made = provenance_of(
        extractor,
        weights,
        sampling=options.sampling,
        precision=options.precision,
        source=source,
        engine=",".join(dict.fromkeys(_engines(options, extractor, weights))),
    )
    identities = {}
    for spec in extractor.specs:
        origin = replace(made, backbone=extractor.backbone_of(spec.name))
        store.ensure_feature(spec, origin, rebuild=options.rebuild)
        identities[spec.name] = fingerprint(spec, origin)
    return _Chosen(extractor, weights, source, identities)


def _fill(run: _Run, group: Sequence[_Chosen], specs: Sequence[DecodedSpec], *, only_prepare: bool) -> None:
    """Do what is missing in the arrays of some backbones that share a source, until nothing is."""
    arrays = [spec.name for item in group for spec in item.extractor.specs]
    arrays += [spec.ledger_name for spec in specs]
    if not arrays:
        return
    plan_for = partial(
        make_plan, run.store, arrays, run.clips, fingerprint_of=clip_fingerprint, retry_failed=run.options.retry_failed
    )
    for array in arrays:
        sweep_locks(run.store, array)
    plan = plan_for(shards=run.options.shards)
    if not plan.tasks:
        return
    run.reporter.planned(plan, shards=run.store.shards)
    if only_prepare:
        return
    needed = _needed(group, plan)
    # Decode workers come first: they are up by the time that the networks are.
    with _source(run, needed, specs) as source:
        engine = Engine(
            run.store,
            [_load(item, run) for item in needed],
            source,
            kept={spec.ledger_name: spec for spec in specs},
            identities={name: made for item in needed for name, made in item.identities.items()},
            reporter=run.reporter,
        )
        keep_freed_memory()
        run.reporter.running()
        _run_all(engine, plan, plan_for, run.reporter)


def _needed(group: Sequence[_Chosen], plan: Plan) -> list[_Chosen]:
    """The backbones that the plan has work for; the others are not even loaded."""
    wanted = frozenset().union(*(task.rows for task in plan.tasks))
    needed = [item for item in group if any(spec.name in wanted for spec in item.extractor.specs)]
    if LOGMEL_LEDGER in wanted:
        needed += [item for item in group if item not in needed and makes_logmel(item.extractor)]
    return needed


def _run_all(engine: Engine, plan: Plan, plan_for: partial[Plan], reporter: Reporter) -> None:
    """Run a plan. Shards that another process holds are looked at again until they are done, by it or by us."""
    while plan.tasks:
        locked = engine.run(plan.tasks)
        # Who holds a shard redoes its failed rows too, if asked to: redoing them again would be for nothing.
        again = plan_for(shards=[task.shard for task in locked], retry_failed=False)
        if len(again.tasks) == len(plan.tasks):
            reporter.waiting(len(locked))
            time.sleep(_POLL_SECONDS)
        plan = again


def _load(item: _Chosen, run: _Run) -> LoadedBackbone:
    """Build a network and what runs its batches."""
    from extractors.batch_runner import BatchRunner
    from extractors.engines.memory import give_back_freed_memory
    from extractors.engines.runtime import pick_device

    if item.extractor.name in run.networks:
        return run.networks[item.extractor.name]
    device = pick_device(run.options.device)
    run.reporter.loading(item.extractor.name, item.weights.identity)
    (engine,) = _engines(run.options, item.extractor, item.weights)
    item.extractor.load(item.weights, device=device, precision=run.options.precision, engine=engine)
    give_back_freed_memory()  # the weights as their file has them
    runner = BatchRunner(item.extractor, device=device, compiled=run.options.compile_networks)
    loaded = LoadedBackbone(item.extractor, runner)
    run.networks[item.extractor.name] = loaded
    return loaded


def _source(run: _Run, group: Sequence[_Chosen], specs: Sequence[DecodedSpec]) -> AbstractContextManager[ClipSource]:
    extractors = [item.extractor for item in group]
    frame_views = list(dict.fromkeys(item.view for item in extractors if isinstance(item.view, FrameView)))
    sounds = list(dict.fromkeys([*audio_views(extractors), *kept_audio_views(specs)]))
    if group and group[0].source == KEPT:
        return nullcontext(KeptSource(run.store, frame_views=frame_views, audio_views=sounds))
    return MediaSource(
        run.clips,
        clip_seconds=run.options.clip_seconds,
        sampling=run.options.sampling,
        frame_views=frame_views,
        audio_views=sounds,
        keep=kept_canvases(specs),
        workers=run.options.workers,
        deadline_seconds=run.options.deadline_seconds,
        decoder=run.options.decoder,
        row_bytes=sum(spec.steps * spec.dim * 4 for item in extractors for spec in item.specs),
        shard_size=run.store.info.shard_size,
        budget_bytes=run.options.memory_bytes,
        error_log=error_log_path(run.store.url),
        pools=run.pools,
    )
