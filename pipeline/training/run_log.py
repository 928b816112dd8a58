"""Reports a run: a line an epoch, a bar inside an epoch on a terminal, curves for TensorBoard, and ``times.jsonl``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from pipeline.terminal.console import count
from pipeline.training.checkpoint import Progress
from pipeline.training.loop import EpochReport, StepReport
from pipeline.training.run_folder import BEST

TIMES = "times.jsonl"
_MINUTE = 60


class RunLog:
    """Reports the epochs and steps of one call of the trainer; a context manager.

    Args:
        out: the run's folder.
        console: where lines go; a bar is shown only if it is a terminal.
        first: epochs that an earlier call has done.
        epochs: of the recipe.
        headline: a task's scores in a few words.
    """

    def __init__(
        self, out: Path, console: Console, *, first: int, epochs: int, headline: Callable[[dict[str, float]], str]
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._out, self._console = out, console
        self._first, self._epochs, self._headline = first, epochs, headline
        self._began = self._epoch_began = time.monotonic()
        self._writer = SummaryWriter(str(out / "tensorboard"), purge_step=first + 1)
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TaskProgressColumn(),
            TextColumn("{task.fields[loss]}", markup=False), TimeRemainingColumn(),
        )  # fmt: skip
        self._bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None, loss="", visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._bar.stop()
        self._writer.close()

    def step(self, report: StepReport) -> None:
        """Move the bar."""
        ended = report.step == report.steps
        self._bar.update(
            self._task, description=f"epoch {report.epoch}/{self._epochs}", completed=report.step, total=report.steps,
            loss="scores of val" if ended else f"loss {report.loss:.4f}", visible=True,
        )  # fmt: skip

    def epoch(self, report: EpochReport) -> None:
        """Report one epoch."""
        entry = report.entry
        seconds, self._epoch_began = time.monotonic() - self._epoch_began, time.monotonic()
        val = entry.get("val", {})
        shown = f"  val {self._headline(val)}" if val else ""
        best = "  best" if report.best else "  equals the best, kept" if report.kept else ""
        self._bar.reset(self._task, visible=False)
        self._console.print(
            f"epoch {report.epoch}/{self._epochs}: loss {entry['loss']:.4f}{shown}{best if val else ''}  "
            f"({seconds:.1f} s)"
        )
        flat = {"loss": entry["loss"], "learning_rate": entry["learning_rate"]}
        flat |= {f"loss/{name}": value for name, value in entry["terms"].items()}
        flat |= {f"val/{name}": value for name, value in val.items()}
        for name, value in flat.items():
            self._writer.add_scalar(name, value, report.epoch)
        with (self._out / TIMES).open("a") as file:
            file.write(json.dumps({"epoch": report.epoch, "seconds": seconds}) + "\n")

    def ended(self, progress: Progress) -> None:
        """Say what the run has come to."""
        new, done = progress.epoch - self._first, f"nothing left to train after epoch {progress.epoch}"
        if new > 0:
            done = f"trained {count(new, 'epoch')} in {_minutes(time.monotonic() - self._began)}"
        best = ""
        if progress.best_epoch:
            val = progress.history[progress.best_epoch - 1].get("val", {})
            why = f" (val {self._headline(val)})" if val else ", the last one: there is no val"
            best = f"; {self._out / BEST} is of epoch {progress.best_epoch}{why}"
        self._console.print(f"{self._out}: {done}{best}")


def _minutes(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _MINUTE else f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
