"""Opens a store for the backbones of a run: makes their arrays or checks the ones there, and plans what is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from extractors import registry
from extractors.base import Extractor
from extractors.weights.loading import ResolvedWeights
from extractors.weights.several import resolve_all
from pipeline.decode.fingerprint import clip_fingerprint
from pipeline.extraction.kept_intermediates import LOGMEL_LEDGER, kept_specs, makes_logmel
from pipeline.extraction.kept_source import can_read_kept
from pipeline.extraction.options import EVERY, ExtractOptions, StoreDtype
from pipeline.extraction.plan import Plan, ShardTask, make_plan
from pipeline.extraction.provenance import provenance_of
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.layout.decoded import DecodedSpec
from storage.media.packages import refuse_without_packages
from storage.schema import FeatureSpec, fingerprint
from storage.store import FeatureStore

KEPT = "decoded"
MEDIA = "media"


@dataclass(frozen=True)
class Chosen:
    """A backbone of this run before its network is loaded, and where its input comes from."""

    extractor: Extractor
    weights: ResolvedWeights
    source: str
    identities: Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """The backbones of a run whose input comes from one source.

    Attributes:
        source: ``media`` or ``decoded``.
        chosen: the backbones.
        specs: intermediates to keep from that source.
    """

    source: str
    chosen: tuple[Chosen, ...]
    specs: tuple[DecodedSpec, ...]

    @property
    def arrays(self) -> list[str]:
        """What is to be filled."""
        arrays = [spec.name for item in self.chosen for spec in item.extractor.specs]
        return arrays + [spec.ledger_name for spec in self.specs]

    def needed_for(self, tasks: Iterable[ShardTask]) -> list[Chosen]:
        """The backbones that some tasks have work for; the others are not even loaded."""
        wanted = frozenset().union(*(task.rows for task in tasks))
        needed = [item for item in self.chosen if any(spec.name in wanted for spec in item.extractor.specs)]
        if LOGMEL_LEDGER in wanted:
            needed += [item for item in self.chosen if item not in needed and makes_logmel(item.extractor)]
        return needed

    def filled_by(self, needed: Iterable[Chosen]) -> frozenset[str]:
        """The arrays that an engine with these backbones fills."""
        loaded = list(needed)
        arrays = {name for item in loaded for name in item.identities}
        has_logmel = any(makes_logmel(item.extractor) for item in loaded)
        kept = {spec.ledger_name for spec in self.specs if has_logmel or spec.ledger_name != LOGMEL_LEDGER}
        return frozenset(arrays | kept)


@dataclass(frozen=True)
class Prepared:
    """A store that is ready to be filled.

    Attributes:
        store: open for writing.
        clips: the table in row order.
        options: of the run.
        groups: those that have something to fill.
    """

    store: FeatureStore
    clips: Sequence[Clip]
    options: ExtractOptions
    groups: tuple[Group, ...]

    def plan(self, group: Group, *, shards: Collection[int] | None, retry_failed: bool) -> Plan:
        """What is missing in a group's arrays.

        Args:
            group: one of :attr:`groups`.
            shards: look at these only.
            retry_failed: also redo rows that hold no features.
        """
        return make_plan(
            self.store,
            group.arrays,
            self.clips,
            fingerprint_of=clip_fingerprint,
            retry_failed=retry_failed,
            shards=shards,
        )


def prepare(table: ClipTable, store_url: str, options: ExtractOptions) -> Prepared:
    """Open or make the store, and the arrays of all backbones in it. No network is built.

    Raises:
        InvalidInput: If an option cannot be used.
        SchemaMismatch: If the store holds other clips, or arrays made otherwise.
        WeightsError: If weights cannot be had.
    """
    refuse_without_packages(clip.path for clip in table)
    extractors = _create(options)
    weights = resolve_all([(item, _weights_of(item, options)) for item in extractors])
    specs = kept_specs(options.keep, extractors, clip_seconds=options.clip_seconds, sampling=options.sampling)
    store = FeatureStore.open_or_create(
        store_url, table, clip_seconds=options.clip_seconds, shard_size=options.shard_size
    )
    chosen = [_choose(store, item, found, options) for item, found in zip(extractors, weights, strict=True)]
    for spec in specs:
        store.ensure_decoded(spec)
    media, kept = (tuple(item for item in chosen if item.source == source) for source in (MEDIA, KEPT))
    groups = (Group(MEDIA, media, specs), Group(KEPT, kept, ()))
    return Prepared(store, store.in_row_order(table).clips, options, tuple(group for group in groups if group.arrays))


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


def engines_of(options: ExtractOptions, extractor: Extractor, weights: ResolvedWeights) -> list[str]:
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


def _choose(store: FeatureStore, extractor: Extractor, weights: ResolvedWeights, options: ExtractOptions) -> Chosen:
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
        engine=",".join(dict.fromkeys(engines_of(options, extractor, weights))),
    )
    identities = {}
    for made_as in extractor.specs:
        spec = replace(made_as, dtype=options.store_dtype or _dtype_there(store, made_as))
        origin = replace(made, backbone=extractor.backbone_of(spec.name))
        store.ensure_feature(spec, origin, rebuild=options.rebuild)
        identities[spec.name] = fingerprint(spec, origin)
    return Chosen(extractor, weights, source, identities)


def _dtype_there(store: FeatureStore, spec: FeatureSpec) -> StoreDtype:
    """The dtype of an array that exists, or else what the backbone gives."""
    return store.spec(spec.name).dtype if spec.name in store.features else spec.dtype
