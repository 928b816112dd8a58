"""One row of a clip table."""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = ("id", "path", "start_seconds", "end_seconds", "split", "labels")
"""The columns of CSV and JSONL clip tables."""


@dataclass(frozen=True)
class Clip:
    """One clip of a dataset.

    Attributes:
        id: unique in its table.
        path: the media file, absolute; it need not exist.
        start_seconds: where the clip starts in its source video.
        end_seconds: where it ends there; ``None`` for as long as the store's clips are.
        split: ``train``, ``val``, ``test`` or empty.
        labels: weak labels, video level.
    """

    id: str
    path: str
    start_seconds: float = 0.0
    end_seconds: float | None = None
    split: str = ""
    labels: tuple[str, ...] = ()
