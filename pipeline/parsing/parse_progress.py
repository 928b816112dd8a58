"""Tells how far a file is parsed, in minutes of video."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from pipeline.extraction.plan import Plan
from pipeline.extraction.reporting import Reporter
from pipeline.terminal.console import tell
from storage.ledger import Row
from storage.text import visible

_EVERY_SECONDS = 5.0


class MinutesReporter(Reporter):
    """Lines on standard error, one every five seconds.

    Args:
        name: of the file.
        tile_seconds: length of a clip of the file's store.
        clock: seconds that only grow.
        say: prints a line.
    """

    def __init__(
        self, name: str, *, tile_seconds: int, clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self._name = name
        self._tile_minutes = tile_seconds / 60
        self._clock = clock
        self._print = say or _to_standard_error
        self._tiles = self._done = 0
        self._began = self._said = clock()

    def planned(self, plan: Plan, *, shards: int) -> None:
        """Note how much there is."""
        self._tiles += plan.clips

    def loading(self, backbone: str, weights: str) -> None:
        """Say which network is built: it may take a while."""
        self._tell(f"loading {backbone} ({weights[:19]})")

    def running(self) -> None:
        """Count the pace from here."""
        self._began = self._said = self._clock()

    def waiting(self, shards: int) -> None:
        """Say who is waited for."""
        self._tell(f"{self._name}: another process is parsing it; waiting")

    def clip_done(self, row: int, entries: Mapping[str, Row]) -> None:
        """Now and then, say how far it is."""
        self._done += 1
        now = self._clock()
        if now - self._said >= _EVERY_SECONDS:
            minutes = self._done * self._tile_minutes
            pace = minutes * 60 / max(now - self._began, 1e-3)
            total = self._tiles * self._tile_minutes
            self._tell(f"{self._name}: {minutes:.1f} of {total:.1f} minutes, {pace:.1f} times as fast as it plays")

    def _tell(self, text: str) -> None:
        self._said = self._clock()
        self._print(visible(text))


def _to_standard_error(text: str) -> None:
    tell([text])
