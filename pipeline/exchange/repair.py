"""Repairs a damaged store as far as possible and marks what must be redone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.exchange.verify_report import Problem
from storage.files.opening import open_root
from storage.files.root import Root
from storage.layout.arrays import fixed_metadata
from storage.layout.label_schema import LABEL_GROUPS
from storage.ledger import Row, ShardRecord, record_of
from storage.schema import Status
from storage.shards.seal import SEAL, Seal, content_of
from storage.store import FeatureStore
from storage.writer import claim, commit_decoded, commit_features

REASON = "marked by avvp verify --repair"


@dataclass
class RepairReport:
    """What was done.

    Attributes:
        restored: files put back from their seals, and seals written anew.
        marked: rows to redo, by array.
        left: problems that nothing here mends.
    """

    restored: list[str] = field(default_factory=list)
    marked: dict[str, int] = field(default_factory=dict)
    left: list[Problem] = field(default_factory=list)


def restore_metadata(url: str, problems: Sequence[Problem]) -> RepairReport:
    """First step: put metadata back. Run :func:`pipeline.exchange.verify.verify` again after it, to see further.

    Args:
        url: of the store.
        problems: what verify found.
    """
    root, report = open_root(url), RepairReport()
    for problem in problems:
        if problem.remedy == "restore":
            _restore(root, problem, report)
    for problem in problems:
        if problem.remedy == "reseal":
            _reseal(root, problem, report)
    report.left = [problem for problem in problems if problem.remedy == "none"]
    return report


def _restore(root: Root, problem: Problem, report: RepairReport) -> None:
    folder = "ledger" if problem.where == "store" else f"ledger/{problem.where}"
    seal = Seal.read(root, folder)
    entry = seal.files.get(problem.file) if seal else None
    content = fixed_metadata().get(problem.file) if entry is None else content_of(entry)
    if content is None:
        report.left.append(problem)
        return
    root.put(problem.file, content)
    report.restored.append(problem.file)


def _reseal(root: Root, problem: Problem, report: RepairReport) -> None:
    """Only the seal itself is damaged or missing: what it vouched for is taken as it lies there."""
    folder = problem.file.rpartition("/")[0] if problem.file.endswith(SEAL) else f"ledger/{problem.where}"
    keys = _sealed_keys(root, folder)
    if not keys:
        report.left.append(problem)
        return
    Seal.of(root, keys).put(root, folder)
    report.restored.append(f"{folder}/{SEAL}")


def _sealed_keys(root: Root, folder: str) -> list[str]:
    if folder == "ledger":
        return ["zarr.json", *(key for key, _ in root.walk("clips"))]
    name = folder.removeprefix("ledger/")
    if name.startswith("decoded."):
        kept = name.removeprefix("decoded.")
        names = [entry for entry in root.names("decoded") if entry == kept or entry.startswith(f"{kept}_")]
        return [f"decoded/{entry}/zarr.json" for entry in names]
    if name.startswith(tuple(f"{group}." for group in LABEL_GROUPS)):
        return [key for key, _ in root.walk(name.replace(".", "/", 1))]
    return [key for key, _ in root.walk(f"features/{name}") if key.endswith("zarr.json")]


def mark_rows(url: str, problems: Sequence[Problem]) -> RepairReport:
    """Second step: mark the rows and shards that are wrong, so that the next run redoes them and no others.

    Good rows of a shard keep their numbers, bit by bit. A shard of which nothing can be told any more loses its
    records and is redone whole.

    Raises:
        ShardLocked: If another process works on one of the shards.
    """
    store, report = FeatureStore.open(url, read_only=False), RepairReport()
    by_shard: dict[tuple[str, int], list[Problem]] = defaultdict(list)
    for problem in problems:
        if problem.remedy == "redo" and problem.shard is not None:
            by_shard[_ledger_name(problem), problem.shard].append(problem)
        elif problem.remedy == "none":
            report.left.append(problem)
    for (array, shard), found in sorted(by_shard.items()):
        with claim(store, [array], shard):
            marked = _mark(store, array, shard, found)
        report.marked[array] = report.marked.get(array, 0) + marked
    return report


def _ledger_name(problem: Problem) -> str:
    kind, _, name = problem.where.partition("/")
    return f"decoded.{name}" if kind == "decoded" else name


def _mark(store: FeatureStore, array: str, shard: int, problems: Sequence[Problem]) -> int:
    span = store.shard_rows(shard)
    rows = {row for problem in problems for row in problem.rows}
    whole = [problem for problem in problems if not problem.rows]
    state = store.ledger(array).state(shard)
    if state is not None and all("/valid/" in problem.file or "/status/" in problem.file for problem in whole):
        record = store.ledger(array).read(shard, state.commit)
        _recommit(store, record, rows, masks_from_values=bool(whole))
        return len(rows)
    damaged = {problem.file for problem in problems}
    _drop_records(store, array, shard, only=damaged if _only_history(store, array, shard, damaged) else None)
    return len(span)


def _only_history(store: FeatureStore, array: str, shard: int, damaged: set[str]) -> bool:
    """Whether only records that a later one has superseded are damaged."""
    ledger = store.ledger(array)
    state = ledger.state(shard)
    old = {ledger.key(shard, commit) for commit in range(1, state.commit)} if state else set()
    return damaged <= old


def _drop_records(store: FeatureStore, array: str, shard: int, *, only: set[str] | None) -> None:
    """Without its records a shard does not exist. The newest goes last, or a killed call would revive an older one."""
    ledger = store.ledger(array)
    found = [(name, record_of(name)) for name in store.root.names(ledger.folder, prefix=f"{shard:05d}.")]
    for name in [name for name, record in sorted(found, key=lambda one: one[1] or (0,)) if record]:
        if only is None or f"{ledger.folder}/{name}" in only:
            store.root.remove(f"{ledger.folder}/{name}")
    if only is None:  # what is left must not look like a shard whose record was lost
        for path in _written_last(store, array):
            store.root.remove(store.direct(path).key(shard))
    store.refresh()


def _written_last(store: FeatureStore, array: str) -> list[str]:
    """The small arrays of a shard, which a commit writes after the large one."""
    if not array.startswith("decoded."):
        return [f"features/{array}/status"]
    spec = store.decoded_spec(array.removeprefix("decoded."))
    return [f"decoded/{spec.name}_{key}" for key in spec.companions]


def _recommit(store: FeatureStore, record: ShardRecord, bad: set[int], *, masks_from_values: bool = False) -> None:
    """Commit a shard again with some rows pending. Damaged masks follow from the values: NaN where not valid."""
    entries = [
        replace(entry, status=Status.PENDING.label, reason=REASON, stored=False)
        if record.first_clip + at in bad
        else entry
        for at, entry in enumerate(record.rows)
    ]
    span = store.shard_rows(record.shard)
    entries += [Row(store.ids[row], Status.PENDING.label, "appended", attempt=0) for row in span[len(entries) :]]
    if record.array.startswith("decoded."):
        _recommit_decoded(store, record, entries)
        return
    spec = store.spec(record.array)
    values = np.full((len(span), spec.steps, spec.dim), np.nan, dtype=spec.dtype)
    valid = np.zeros((len(span), spec.steps), dtype=bool)
    good = [row for row, entry in zip(span, entries, strict=True) if entry.stored]
    if good:
        places = np.asarray(good) - span.start
        values[places] = store.read(record.array, good)
        valid[places] = ~np.isnan(values[places]).all(axis=2) if masks_from_values else store.valid(record.array, good)
    commit_features(
        store,
        record.array,
        record.shard,
        values=values,
        valid=valid,
        rows=entries,
        circumstances=record.circumstances,
    )


def _recommit_decoded(store: FeatureStore, record: ShardRecord, entries: Sequence[Row]) -> None:
    spec = store.decoded_spec(record.array.removeprefix("decoded."))
    span = store.shard_rows(record.shard)
    companions = {
        key: store.direct(f"decoded/{spec.name}_{key}").rows(span.start, span.stop) for key in spec.companions
    }
    for at, entry in enumerate(entries):
        if not entry.stored:
            for block in companions.values():
                block[at] = 0
    commit_decoded(store, spec, record.shard, companions=companions, rows=entries)
