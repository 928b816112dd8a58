"""What the user asks ``avvp reproduce`` for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """Where from, where to, how often.

    Attributes:
        store_url: a store with the features; empty where nothing is trained.
        annotations: folder of label files; likewise.
        out: folder for tables, pictures and runs.
        seeds: runs a row.
        changes: ``key=value`` for every run.
        device: see ``avvp train``.
        clips: to draw, by id or how that begins; empty for the test clips with most events at once.
    """

    store_url: str
    annotations: str
    out: Path
    seeds: int = 1
    changes: tuple[str, ...] = ()
    device: str = "auto"
    clips: tuple[str, ...] = ()
