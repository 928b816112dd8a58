"""Shows the progress of a run: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeElapsedColumn
from rich.text import Text

from pipeline.decode.clip_buffer import DecodeReport
from pipeline.extraction.plan import Plan
from pipeline.extraction.reporting import Reporter
from pipeline.terminal.console import count
from pipeline.terminal.pace import Pace
from storage.ledger import Row
from storage.text import visible

_PLAIN_EVERY_SECONDS = 10.0


class PlainReporter(Reporter):
    """A line every ten seconds and at each end, for logs and pipes. A clip counts when all backbones are done with it.

    Args:
        compiled: whether networks are compiled at their first batch, which is told.
        clock: seconds that only grow.
    """

    def __init__(self, *, compiled: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._compiled = compiled
        self._clock = clock
        self._pace = Pace(clock=clock)
        self._read = 0
        self._undecoded: set[int] = set()
        self._failed: Counter[str] = Counter()
        self._said = clock()
        self._loading: float | None = None

    def planned(self, plan: Plan, *, shards: int) -> None:
        """Say how much there is. A run has a plan for each source of its backbones."""
        self._pace.total += plan.clips
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
        self._pace.start()

    def waiting(self, shards: int) -> None:
        """Say who is waited for."""
        self._tell(f"waiting for {count(shards, 'shard')} that another process is writing")

    def clip_read(self, row: int, report: DecodeReport) -> None:
        """Note it if it cannot be decoded."""
        self._read += 1
        if not report.status.has_features:
            self._undecoded.add(row)
            self._failed[report.status.label] += 1
        self._show()

    def clip_done(self, row: int, entries: Mapping[str, Row]) -> None:
        """Count it, and note it if a backbone failed."""
        failed = next((entry.status for entry in entries.values() if not entry.code.has_features), "")
        if failed and row not in self._undecoded:
            self._failed[failed] += 1
        self._undecoded.discard(row)
        self._pace.finish()
        self.advanced()
        self._show()

    def advanced(self) -> None:
        """One more clip is finished. Subclasses move their bar."""

    def _show(self) -> None:
        """Now and then, say how far it is."""
        if self._clock() - self._said >= _PLAIN_EVERY_SECONDS or self._pace.done == self._pace.total:
            self._tell(f"{self._pace.done}/{self._pace.total} clips done, {self._how_it_goes()}")

    def _how_it_goes(self) -> str:
        # The bar is drawn by another thread, so the counts are copied first.
        failed = ", ".join(f"{number} {label}" for label, number in Counter(dict(self._failed)).most_common()) or "none"
        ahead = f"{self._read} read, " if self._read > self._pace.done else ""
        return f"{ahead}{self._pace}, failed: {failed}"

    def _tell(self, text: str) -> None:
        self._said = self._clock()
        self.say(visible(text))

    def say(self, text: str) -> None:
        """Print a line. Subclasses send it elsewhere."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the terminal's module


class _Line(ProgressColumn):
    """A text that is made anew at every refresh, so that a stall shows."""

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:
        return Text(visible(self._text()))


class LiveReporter(PlainReporter):
    """A bar with clips/s, ETA and failures by reason.

    Args:
        console: of the terminal.
        compiled: see :class:`PlainReporter`.
        clock: seconds that only grow.

    Attributes:
        progress: the bar; the caller starts and stops it.
    """

    def __init__(
        self, console: Console, *, compiled: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(compiled=compiled, clock=clock)
        columns = (BarColumn(), MofNCompleteColumn(), _Line(self._how_it_goes), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console)
        self._task = self.progress.add_task("clips", total=None, start=False, visible=False)

    def planned(self, plan: Plan, *, shards: int) -> None:
        """Show the bar."""
        super().planned(plan, shards=shards)
        self.progress.start_task(self._task)
        self.progress.update(self._task, total=self._pace.total, visible=True)

    def advanced(self) -> None:
        """Move the bar."""
        self.progress.update(self._task, completed=self._pace.done)

    def _show(self) -> None:
        """The bar shows it."""

    def say(self, text: str) -> None:
        """Print it above the bar."""
        self.progress.console.print(Text(text))


@contextmanager
def terminal_reporter(*, compiled: bool = False) -> Iterator[Reporter]:
    """The reporter that fits where standard error goes.

    Args:
        compiled: see :class:`PlainReporter`.
    """
    if not sys.stderr.isatty():
        yield PlainReporter(compiled=compiled)
        return
    live = LiveReporter(Console(stderr=True), compiled=compiled)
    with live.progress:
        yield live
