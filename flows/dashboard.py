"""Prefect artifacts of a run: what the store holds, which clips failed, and what a task logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.bars import ClipBar, Log
from flows.tables import failure_rows, key_of, store_summary
from pipeline.extraction.progress_lines import ProgressLines
from pipeline.inspection.clip_page import write_clip_page
from pipeline.inspection.failed_clips import failed_clips
from pipeline.inspection.status import overview
from storage.errors import AvvpError
from storage.ledger import Row
from storage.store import FeatureStore
from storage.text import count, kind_of_reason, visible

MOST_FAILURES = 200
"""Rows of the table of failures."""
_NAMED_CLIPS = 5


class ShardReporter(ProgressLines):
    """Tells a task's log, and the run's bar, how a shard goes.

    Args:
        log: the task run's.
        shard: its number.
        bar: of the run, where it is in this process.
    """

    def __init__(self, log: Log, shard: int, bar: ClipBar | None) -> None:
        super().__init__()
        self._log = log
        self._shard = shard
        self._bar = bar
        self._failures: dict[tuple[str, str], dict[str, str]] = {}

    def advanced(self) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.clip_done(self._shard)

    def clip_done(self, row: int, entries: Mapping[str, Row]) -> None:
        """Note the clip's name where a backbone has no features of it."""
        for entry in entries.values():
            if entry.failed:
                alike = self._failures.setdefault((entry.status, kind_of_reason(entry.reason)), {})
                alike[entry.id] = entry.reason
        super().clip_done(row, entries)

    def worker_ended(self, device: str, reason: str) -> None:
        """Log it as a warning."""
        self._log.warning("the worker of %s ended: %s", device, reason)

    def say(self, text: str) -> None:
        """Log it."""
        self._log.info("%s", text)

    def tell_failures(self) -> None:
        """Log the clips without features: how many, why, and which."""
        for (status, kind), clips in self._failures.items():
            reasons = set(clips.values())
            reason = reasons.pop() if len(reasons) == 1 else kind
            text = f"{count(len(clips), 'clip')} without features: {status}: {reason}: {named(list(clips))}"
            self._log.warning("%s", visible(text))


def named(names: Sequence[str]) -> str:
    """Some clips by name, and how many more there are."""
    more = len(names) - _NAMED_CLIPS
    return ", ".join(names[:_NAMED_CLIPS]) + (f" and {more:,} more" if more > 0 else "")


def show_store(store: FeatureStore, *, log: Log) -> None:
    """Put a store's counts beside the run, and the clips that failed if there are any."""
    found, key = overview(store), key_of(store.url)
    failed = failed_clips(store, found, most=MOST_FAILURES)
    if failed:
        title = f"{count(found.failed_clips, 'clip')} of {found.clips:,} failed"
        create_table_artifact(failure_rows(failed), key=f"{key}-failures", description=title)
    page = inspect_page(store, log=log)
    create_markdown_artifact(store_summary(found, page=page), key=key, description="What the store holds")


def inspect_page(store: FeatureStore, *, log: Log) -> Path | None:
    """Write the page of the first clip with features, ``STORE.inspect.html``; ``None`` for a store in a bucket."""
    if "://" in store.url:
        return None
    path = Path(store.url).resolve()
    page = path.with_name(f"{path.name}.inspect.html")
    rows = (store.valid(name).any(axis=1).nonzero()[0] for name in store.features)
    first = next((int(found[0]) for found in rows if len(found)), None)
    if first is None:
        return None
    try:
        write_clip_page(store, store.ids[first], page)
    except (AvvpError, OSError) as problem:
        log.warning("no inspect page: %s", problem)
        return None
    return page


def show_scores(scores: Mapping[str, float], *, title: str, run: str) -> None:
    """Put a table of an evaluation beside the run."""
    rows: list[dict[str, Any]] = [{"score": name, "percent": round(value, 2)} for name, value in scores.items()]
    create_table_artifact(rows, key=f"{key_of(run)}-scores", description=title)
