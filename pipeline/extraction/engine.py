"""The extraction loop: one decode feeds all backbones, shards are written behind it.

Decoding goes on in other processes while the network runs here; finished shards are committed by one writer
thread. Clips are taken as they come, so that a slow one holds up nobody, and batches hold clips of several shards.
All batches of a backbone have one shape, in which a clip's bits depend on the clip alone: not on what was slow, killed,
retried or running beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from extractors.base import Extractor, Features, Units
from extractors.batch_runner import BatchRunner
from extractors.failure import Failure
from extractors.views import FrameView
from pipeline.decode.clip_buffer import DecodedClip, DecodeReport
from pipeline.extraction.batching import Batcher, failure_of
from pipeline.extraction.health import Health
from pipeline.extraction.jobs import ShardJob, row_of
from pipeline.extraction.kept_intermediates import Keeper
from pipeline.extraction.open_shards import OpenShards
from pipeline.extraction.plan import ShardTask
from pipeline.extraction.reporting import Reporter
from storage.layout.decoded import DecodedSpec
from storage.schema import Status
from storage.store import FeatureStore


class ClipSource(Protocol):
    """Where decoded clips come from: the decode workers, or arrays that were kept."""

    @property
    def lookahead(self) -> int:
        """Clips that it works on at once."""
        ...

    def decode(self, rows: Iterable[int | None]) -> Iterator[tuple[int, DecodedClip]]:
        """Give the clips of these rows, each with its row, in any order; each must be released.

        ``None`` instead of a row says that there is none yet: the source asks again when it has given a clip, or a
        moment later.
        """
        ...


@dataclass(frozen=True)
class LoadedBackbone:
    """A backbone ready to run.

    Attributes:
        extractor: with its network loaded.
        runner: of its batches.
        circumstances: what it runs on, for the records.
    """

    extractor: Extractor
    runner: BatchRunner
    circumstances: Mapping[str, Any] = field(default_factory=dict)

    def circumstances_now(self) -> dict[str, Any]:
        """The circumstances with the batch, which is smaller once memory has run out time and again."""
        return {**self.circumstances, "batch_units": self.runner.size.units} if self.circumstances else {}


@dataclass(frozen=True)
class _Ticket:
    """One clip in one backbone's hands."""

    job: ShardJob
    row: int
    report: DecodeReport
    turn: int


class Engine:
    """Runs tasks over one store.

    Args:
        store: open for writing.
        backbones: loaded.
        source: of decoded clips.
        kept: specs of intermediates to keep, by ledger name.
        identities: fingerprint of each feature array, as this run makes it.
        reporter: told of every clip and shard.
    """

    def __init__(
        self,
        store: FeatureStore,
        backbones: Sequence[LoadedBackbone],
        source: ClipSource,
        *,
        kept: Mapping[str, DecodedSpec],
        identities: Mapping[str, str],
        reporter: Reporter,
    ) -> None:
        self._store = store
        self._identities = identities
        self._source = source
        self._kept = kept
        self._reporter = reporter
        self._backbones = backbones
        self._keeper = Keeper(kept)
        self._health = Health()
        self._turn = 0
        self._batchers: list[tuple[Extractor, Batcher[_Ticket]]] = [
            (item.extractor, self._batcher(item)) for item in backbones
        ]

    def _batcher(self, item: LoadedBackbone) -> Batcher[_Ticket]:
        def deliver(ticket: _Ticket, result: dict[str, Features] | Failure) -> None:
            self._deliver(item.extractor, ticket, result)

        return Batcher(item.extractor, item.runner, deliver=deliver)

    def run(self, tasks: Iterable[ShardTask | None], *, locked: Callable[[ShardTask], None]) -> None:
        """Do the tasks.

        Args:
            tasks: in order; ``None`` among them says that there is none to be had yet, see
                :class:`~pipeline.extraction.open_shards.OpenShards`.
            locked: told of a task that another process is doing now.

        Raises:
            BackboneBroken: If a backbone fails whatever it is given. Shards that are not complete are released as
                they were.
        """
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer") as writer:
            shards = OpenShards(
                self._store,
                tasks,
                kept=self._kept,
                identities=self._identities,
                circumstances=self._circumstances,
                reporter=self._reporter,
                lookahead=self._source.lookahead,
                health=self._health,
                writer=writer,
                drain=self._drain,
                locked=locked,
            )
            try:
                for row, decoded in self._source.decode(shards.rows()):
                    self._take(shards.taken(row), row, decoded)
                    shards.commit_complete()
                shards.finish()
            finally:
                shards.release()

    def _circumstances(self, array: str) -> dict[str, Any]:
        makers = (item for item in self._backbones for spec in item.extractor.specs if spec.name == array)
        return next((item.circumstances_now() for item in makers), {})

    def _take(self, job: ShardJob, row: int, decoded: DecodedClip) -> None:
        """Hand one decoded clip to every backbone that wants it."""
        self._turn += 1
        try:
            self._reporter.clip_read(row, decoded.report)
            self._keeper.keep(job, row, decoded)
            for extractor, batcher in self._batchers:
                self._hand_over(extractor, batcher, _Ticket(job, row, decoded.report, self._turn), decoded)
        finally:
            decoded.release()

    def _hand_over(
        self, extractor: Extractor, batcher: Batcher[_Ticket], ticket: _Ticket, decoded: DecodedClip
    ) -> None:
        wanted = any(ticket.job.wants(spec.name, ticket.row) for spec in extractor.specs)
        keeps = self._keeper.wants_units(ticket.job, ticket.row, extractor)
        if not wanted and not keeps:
            return
        result = _units_of(decoded, extractor)
        units = result if isinstance(result, Units) else None
        if keeps:
            self._keeper.keep_units(ticket.job, ticket.row, units, ticket.report)
        if units is not None and wanted:
            batcher.add(ticket, units)
        elif wanted:
            self._deliver(extractor, ticket, result if isinstance(result, Failure) else None)

    def _deliver(self, extractor: Extractor, ticket: _Ticket, result: dict[str, Features] | Failure | None) -> None:
        """Put a backbone's result for a clip, or what is known of its failure, into the shard."""
        if result is not None:
            reason = result.reason if isinstance(result, Failure) else None
            self._health.note(extractor.name, ticket.job.task.shard, reason, turn=ticket.turn)
        clip_id = ticket.job.clip_id(ticket.row)
        for spec in extractor.specs:
            if isinstance(result, Failure):
                status = Status.OUT_OF_MEMORY if result.out_of_memory else Status.EXTRACTOR_ERROR
                entry = row_of(clip_id, ticket.report, status=status, reason=f"{extractor.name}: {result.reason}")
                ticket.job.put(spec.name, ticket.row, None, entry)
            else:
                features = None if result is None else result[spec.name]
                ticket.job.put(spec.name, ticket.row, features, row_of(clip_id, ticket.report))

    def _drain(self) -> None:
        for _, batcher in self._batchers:
            batcher.flush()


def _units_of(decoded: DecodedClip, extractor: Extractor) -> Units | Failure | None:
    """A clip's units, made here where no decode worker has made them; ``None`` where the clip lacks the modality."""
    if not decoded.report.status.has_features:
        return None
    if extractor.name in decoded.units:
        return decoded.units[extractor.name]
    if missing := decoded.report.no_units.get(extractor.name):
        return missing
    view = extractor.view
    clip = decoded.frames.get(view) if isinstance(view, FrameView) else decoded.waveforms.get(view)
    try:
        return None if clip is None else extractor.units(clip)
    except Exception as problem:  # noqa: BLE001 - a backbone is anybody's code; the ledger gets the reason
        return failure_of(extractor, problem)
