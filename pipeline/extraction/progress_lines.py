"""How a run goes, as lines of text, wherever they are written."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping

from pipeline.decode.clip_buffer import DecodeReport
from pipeline.extraction.plan import Plan
from pipeline.extraction.reporting import Reporter
from pipeline.terminal.pace import Pace
from storage.ledger import Row
from storage.text import count, visible

_EVERY_SECONDS = 10.0


class ProgressLines(Reporter, ABC):
    """A line every ten seconds and at each end. A clip counts when all backbones are done with it.

    Args:
        compiled: whether networks are compiled at their first batch, which is told.
        clock: seconds that only grow.

    Attributes:
        pace: how many clips there are, and how many are done.
    """

    def __init__(self, *, compiled: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._compiled = compiled
        self._clock = clock
        self.pace = Pace(clock=clock)
        self._read = 0
        self._undecoded: set[int] = set()
        self._failed: Counter[str] = Counter()
        self._said = clock()
        self._loading: float | None = None

    def planned(self, plan: Plan, *, shards: int) -> None:
        """Say how much there is. A run has a plan for each source of its backbones."""
        self.pace.total += plan.clips
        self._tell(f"{count(plan.clips, 'clip')} to read in {len(plan.tasks)} of {count(shards, 'shard')}")

    def loading(self, backbone: str, weights: str) -> None:
        """Say which network is built."""
        self._loading = self._clock() if self._loading is None else self._loading
        self._tell(f"loading {backbone} ({weights[:19]})")

    def running(self) -> None:
        """Count the pace from here: networks are built."""
        if self._loading is not None:
            compiled = (
                "; they are compiled at their first batch, which takes a minute or more" if self._compiled else ""
            )
            self._tell(f"networks are loaded after {self._clock() - self._loading:.0f} s{compiled}")
        self._loading = None
        self.pace.start()

    def waiting(self, shards: int) -> None:
        """Say who is waited for."""
        self._tell(f"waiting for {count(shards, 'shard')} that another process is writing")

    def worker_ended(self, device: str, reason: str) -> None:
        """Say which and how."""
        self._tell(f"the worker of {device} ended: {reason}")

    def clip_read(self, row: int, report: DecodeReport) -> None:
        """Note it if it cannot be decoded."""
        self._read += 1
        if not report.status.has_features:
            self._undecoded.add(row)
            self._failed[report.status.label] += 1
        self.show()

    def clip_done(self, row: int, entries: Mapping[str, Row]) -> None:
        """Count it, and note it if a backbone failed."""
        failed = next((entry.status for entry in entries.values() if not entry.code.has_features), "")
        if failed and row not in self._undecoded:
            self._failed[failed] += 1
        self._undecoded.discard(row)
        self.pace.finish()
        self.advanced()
        self.show()

    def advanced(self) -> None:
        """One more clip is finished. Subclasses move their bar."""

    def show(self) -> None:
        """Now and then, say how far it is."""
        if self._clock() - self._said >= _EVERY_SECONDS or self.pace.done == self.pace.total:
            self._tell(f"{self.pace.done}/{self.pace.total} clips done, {self.how_it_goes()}")

    def how_it_goes(self) -> str:
        """``12 read, 0.12 clips/s, ETA 3:02, failed: none``."""
        # The bar is drawn by another thread, so the counts are copied first.
        failed = ", ".join(f"{number} {label}" for label, number in Counter(dict(self._failed)).most_common()) or "none"
        ahead = f"{self._read} read, " if self._read > self.pace.done else ""
        return f"{ahead}{self.pace}, failed: {failed}"

    def _tell(self, text: str) -> None:
        self._said = self._clock()
        self.say(visible(text))

    @abstractmethod
    def say(self, text: str) -> None:
        """Put a line where it belongs."""
