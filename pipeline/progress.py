"""What a person sees while a run goes: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pipeline.decode.clip_buffer import DecodeReport
from pipeline.extraction.plan import Plan
from pipeline.extraction.reporting import Reporter

_PLAIN_EVERY_SECONDS = 10.0


class _Pace:
    """Clips a second since the first clip was asked for, and the time left."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.begin()

    def begin(self) -> None:
        self._started = time.monotonic()

    @property
    def clips_per_second(self) -> float:
        elapsed = time.monotonic() - self._started
        return self.done / elapsed if elapsed > 0 else 0.0

    def eta(self) -> str:
        if not self.done:
            return "?"
        seconds = int((self.total - self.done) / max(self.clips_per_second, 1e-9))
        hours, rest = divmod(seconds, 3600)
        return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def _failures(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "none"


class PlainReporter(Reporter):
    """A line every ten seconds and at each end, for logs and pipes."""

    def __init__(self) -> None:
        self._pace = _Pace(0)
        self._failed: Counter[str] = Counter()
        self._said = 0.0

    def planned(self, plan: Plan, *, shards: int) -> None:
        """Say how much there is."""
        self._pace = _Pace(plan.clips)
        self._tell(f"{plan.clips} clips to read in {len(plan.tasks)} of {shards} shards")

    def loading(self, backbone: str, weights: str) -> None:
        """Say which network is built."""
        self._tell(f"loading {backbone} ({weights[:19]})")

    def running(self) -> None:
        """Count the pace from here: networks are built."""
        self._pace.begin()

    def waiting(self, shards: int) -> None:
        """Say who is waited for."""
        self._tell(f"waiting for {shards} shards that another process is writing")

    def clip_read(self, row: int, report: DecodeReport) -> None:
        """Now and then, say how far it is."""
        self._pace.done += 1
        if not report.status.has_features:
            self._failed[report.status.label] += 1
        if time.monotonic() - self._said >= _PLAIN_EVERY_SECONDS or self._pace.done == self._pace.total:
            pace = self._pace
            self._tell(
                f"{pace.done}/{pace.total} clips read, {pace.clips_per_second:.2f} clips/s, ETA {pace.eta()}, "
                f"failed: {_failures(self._failed)}"
            )

    def _tell(self, text: str) -> None:
        self._said = time.monotonic()
        self.say(text)

    def say(self, text: str) -> None:
        """Print a line. Subclasses send it elsewhere."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the terminal's module


class LiveReporter(PlainReporter):
    """A bar with clips/s, ETA and failures by reason.

    Args:
        progress: started by the caller.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task: TaskID | None = None

    def planned(self, plan: Plan, *, shards: int) -> None:
        """Start the bar."""
        super().planned(plan, shards=shards)
        self._task = self._progress.add_task("clips", total=plan.clips, pace="", failed="none")

    def clip_read(self, row: int, report: DecodeReport) -> None:
        """Move the bar."""
        self._pace.done += 1
        if not report.status.has_features:
            self._failed[report.status.label] += 1
        if self._task is not None:
            pace = f"{self._pace.clips_per_second:.2f} clips/s, ETA {self._pace.eta()}"
            self._progress.update(self._task, completed=self._pace.done, pace=pace, failed=_failures(self._failed))

    def say(self, text: str) -> None:
        """Print it above the bar."""
        self._progress.console.print(text, highlight=False)


@contextmanager
def terminal_reporter() -> Iterator[Reporter]:
    """The reporter that fits where standard error goes."""
    if not sys.stderr.isatty():
        yield PlainReporter()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
        TimeElapsedColumn(),
        TextColumn("failed: {task.fields[failed]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield LiveReporter(progress)
