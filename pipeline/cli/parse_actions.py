"""Implementation of ``avvp parse``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.parsing.formats.registry import parse_formats
from pipeline.parsing.formats.summary import summary_text
from pipeline.parsing.formats.whole_files import write_text
from pipeline.parsing.jobs import Job, find_jobs
from pipeline.parsing.parse_files import Outcome, Output, parse_files
from pipeline.parsing.parse_progress import MinutesReporter
from pipeline.parsing.parsed_file import PAGE
from pipeline.parsing.parsed_video import ParsedVideo
from pipeline.parsing.setup import Rules, set_up
from pipeline.parsing.window_model import WindowModel
from pipeline.terminal.console import count, json_text, say, tell
from pipeline.terminal.exit_codes import SOME_CLIPS_FAILED
from storage.errors import InvalidInput
from storage.text import visible


@dataclass(frozen=True)
class Asked:
    """The options of the command, by the names of its parameters."""

    model: str | None
    dataset: str | None
    out: Path | None
    formats: str
    probabilities: bool
    truth: str | None
    hop: int | None
    threshold: float | None
    thresholds: str | None
    min_duration: float
    join_gap: float
    classes: tuple[str, ...]
    top: int | None
    keep: Path | None
    report: Path | None


def run_parse(inputs: Sequence[str], asked: Asked, extraction: Mapping[str, Any]) -> int:
    """``avvp parse``. Returns the exit code.

    Raises:
        InvalidInput: If an input or an option cannot be used; nothing has been parsed then.
        WeightsError: If weights cannot be had.
    """
    formats = parse_formats(asked.formats, more=(PAGE,))
    jobs, notes = find_jobs(inputs, out=asked.out)
    tell(notes)
    if asked.report is not None and asked.report.is_dir():
        raise InvalidInput(f"--report {asked.report}: is a folder. Give the name of a file")
    rules = Rules(asked.threshold, asked.thresholds, asked.min_duration, asked.join_gap, asked.classes, asked.top)
    model, how = set_up(
        asked.model, dataset=asked.dataset, rules=rules, hop=asked.hop, preview=PAGE in formats, extraction=extraction
    )
    output = Output(formats, asked.probabilities, _truth(asked.truth, asked.dataset), asked.keep)
    output.check(jobs)
    tell([f"model: {model.facts.name} ({model.facts.kind}). {model.facts.description}".rstrip()])
    _warn(model)
    outcome = parse_files(jobs, model, how, output, reporter=_reporter(model), told=_told(output))
    if asked.report is not None:
        write_text(asked.report, json_text(_report(outcome)) + "\n")
    return _say_what_was_done(outcome)


def _truth(folder: str | None, dataset: str | None) -> Any:
    from pipeline.datasets.llp import load_annotations

    return None if folder is None else load_annotations(folder, dataset=dataset or "llp")


def _warn(model: WindowModel) -> None:
    if random := model.facts.random:
        tell([f"RANDOM WEIGHTS in {', '.join(random)}: the events mean nothing"])


def _reporter(model: WindowModel) -> Any:
    return lambda job: MinutesReporter(job.path.name, tile_seconds=model.window_seconds)


def _told(output: Output) -> Any:
    def tell_of(job: Job, video: ParsedVideo, seconds: float) -> None:
        say(summary_text(video))
        names = ", ".join(path.name for path in output.paths(job))
        say(f"  {visible(str(job.folder))}: {visible(names)} ({seconds:.1f} s)")

    return tell_of


def _report(outcome: Outcome) -> dict[str, Any]:
    return {
        "parsed": {str(video.path): len(video.events) for video in outcome.parsed},
        "done": [str(path) for path in outcome.done],
        "failed": {str(path): reason for path, reason in outcome.failed.items()},
    }


def _say_what_was_done(outcome: Outcome) -> int:
    """A line, the failures, and the exit code."""
    parts = [f"{count(len(outcome.parsed), 'file')} parsed"]
    if outcome.done:
        parts.append(f"{len(outcome.done)} were done already")
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} failed")
    say(", ".join(parts))
    for reason in outcome.failed.values():
        say(f"  {visible(reason)}")
    return SOME_CLIPS_FAILED if outcome.failed else 0
