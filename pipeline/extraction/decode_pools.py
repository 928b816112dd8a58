"""Decode workers that outlive one store: for many short files, starting them would cost more than the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.decode.clip_buffer import DecodeShape
from pipeline.extraction.workers import DecodePool
from storage.closing import Closing


class DecodePools(Closing):
    """The pool of the last run, kept for the next one that wants the same. A context manager."""

    def __init__(self) -> None:
        self._wanted: tuple[Any, ...] = ()
        self._pool: DecodePool | None = None

    def pool(
        self,
        shape: DecodeShape,
        *,
        workers: int,
        deadline_seconds: float,
        buffers: int,
        error_log: Path | None,
        niceness: int = 0,
    ) -> DecodePool:
        """See :class:`~pipeline.extraction.workers.DecodePool`. A pool that was made otherwise is closed.

        The error log is that of the first run which the pool was made for.
        """
        wanted = (shape, workers, deadline_seconds, buffers, niceness)
        if self._pool is None or self._wanted != wanted:
            self.close()
            self._wanted = wanted
            self._pool = DecodePool(
                shape,
                workers=workers,
                deadline_seconds=deadline_seconds,
                buffers=buffers,
                error_log=error_log,
                niceness=niceness,
            )
        return self._pool

    def close(self) -> None:
        """Stop the workers."""
        if self._pool is not None:
            self._pool.close()
        self._pool = None
