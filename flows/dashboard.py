"""Prefect artifacts of a run: progress bar, tables, links, pictures, log lines."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.logging.loggers import LoggingAdapter

from flows.pictures import bar_picture
from flows.tables import array_rows, failure_rows, key_of, store_links, store_summary
from pipeline.extraction.progress_lines import ProgressLines
from pipeline.inspection.clip_page import write_clip_page
from pipeline.inspection.status import StoreOverview
from storage.errors import AvvpError
from storage.store import FeatureStore

Log = logging.Logger | LoggingAdapter
_UPDATE_EVERY_SECONDS = 2.0


class ProgressBar:
    """A progress artifact. A dashboard that cannot be reached never stops the work.

    Args:
        total: of what is counted.
        description: beside the bar.
        key: under which the dashboard lists it.
        log: told when the dashboard is out of reach.
    """

    def __init__(self, total: int, description: str, *, key: str, log: Log) -> None:
        self._total = max(total, 1)
        self._log = log
        self._shown = time.monotonic()
        self._id: UUID | None = None
        self.done = 0
        try:
            made = create_progress_artifact(0.0, key=key, description=description)
        except httpx.HTTPError as problem:
            log.warning("no progress bar: %s", problem)
        else:
            self._id = made if isinstance(made, UUID) else None

    def advance(self, by: int = 1) -> None:
        """Count, and move the bar if it has not just been moved or all is done."""
        self.done += by
        now = time.monotonic()
        if self._id is None or (now - self._shown < _UPDATE_EVERY_SECONDS and self.done < self._total):
            return
        self._shown = now
        try:
            update_progress_artifact(self._id, min(100.0, round(100 * self.done / self._total, 1)))
        except httpx.HTTPError as problem:
            self._log.warning("the progress bar cannot be moved: %s", problem)


class ShardReporter(ProgressLines):
    """Tells a task's log and its bar how a shard goes.

    Args:
        log: the task run's.
        description: beside the bar.
    """

    def __init__(self, log: Log, description: str) -> None:
        super().__init__()
        self._log = log
        self._description = description
        self._bar: ProgressBar | None = None

    def running(self) -> None:
        """Show the bar: networks are built."""
        super().running()
        self._bar = ProgressBar(self.pace.total, self._description, key="shard-progress", log=self._log)

    def advanced(self) -> None:
        """Move it."""
        if self._bar is not None:
            self._bar.advance()

    def worker_ended(self, device: str, reason: str) -> None:
        """Log it as a warning."""
        self._log.warning("the worker of %s ended: %s", device, reason)

    def say(self, text: str) -> None:
        """Log it."""
        self._log.info(text)


def show_store(found: StoreOverview, *, log: Log) -> None:
    """Put a store's counts, failures, picture and links beside the run."""
    key = key_of(found.store)
    create_table_artifact(array_rows(found), key=f"{key}-arrays", description="Clips by array")
    create_table_artifact(failure_rows(found), key=f"{key}-failures", description="Failures by reason")
    shares = {row["array"]: 100 * row["stored"] / max(found.clips, 1) for row in array_rows(found)}
    picture = bar_picture(f"{found.clips} clips: features stored, in %", shares)
    create_image_artifact(picture, key=f"{key}-picture", description="Features stored, in % of all clips")
    page = inspect_page(found.store, log=log)
    create_markdown_artifact(store_summary(found, page=page), key=f"{key}-summary", description="The store")
    for name, (text, link) in store_links(found.store, page=page).items():
        create_link_artifact(link, key=f"{key}-{name}", link_text=text, description=text)


def inspect_page(store_url: str, *, log: Log) -> Path | None:
    """Write the page of the first clip with features, ``STORE.inspect.html``; ``None`` for a store in a bucket."""
    if "://" in store_url:
        return None
    path = Path(store_url).resolve()
    page = path.with_name(f"{path.name}.inspect.html")
    store = FeatureStore.open(store_url)
    rows = [store.valid(name).any(axis=1).nonzero()[0] for name in store.features]
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
    """Put a table and a picture of an evaluation beside the run."""
    rows: list[dict[str, Any]] = [{"score": name, "percent": round(value, 2)} for name, value in scores.items()]
    create_table_artifact(rows, key=f"{key_of(run)}-scores", description=title)
    create_image_artifact(bar_picture(title, dict(scores)), key=f"{key_of(run)}-scores-picture", description=title)
