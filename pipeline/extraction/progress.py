"""Shows the progress of a run: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeElapsedColumn
from rich.text import Text

from pipeline.extraction.plan import Plan
from pipeline.extraction.progress_lines import ProgressLines
from pipeline.extraction.reporting import Reporter
from storage.text import visible


class PlainReporter(ProgressLines):
    """Lines on standard error, for logs and pipes."""

    def say(self, text: str) -> None:
        """Print it."""
        print(visible(text), file=sys.stderr, flush=True)  # noqa: T201 - this is the terminal's module


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
        columns = (BarColumn(), MofNCompleteColumn(), _Line(self.how_it_goes), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console)
        self._task = self.progress.add_task("clips", total=None, start=False, visible=False)

    def planned(self, plan: Plan, *, shards: int) -> None:
        """Show the bar."""
        super().planned(plan, shards=shards)
        self.progress.start_task(self._task)
        self.progress.update(self._task, total=self.pace.total, visible=True)

    def advanced(self) -> None:
        """Move the bar."""
        self.progress.update(self._task, completed=self.pace.done)

    def show(self) -> None:
        """The bar shows it."""

    def say(self, text: str) -> None:
        """Print it above the bar."""
        self.progress.console.print(Text(visible(text)))


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
