"""Parses many files: skips what is done, goes on where it was killed, writes the output, survives bad files."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.extraction.decode_pools import DecodePools
from pipeline.parsing.formats import registry
from pipeline.parsing.formats.json_reading import read_json
from pipeline.parsing.jobs import Job
from pipeline.parsing.page.preview import read_preview
from pipeline.parsing.parse_file import CannotParse, HowToParse, parse_file, settings_of
from pipeline.parsing.parsed_file import PAGE, ParsedFile
from pipeline.parsing.parsed_video import ParsedVideo
from pipeline.parsing.truth import truth_of
from pipeline.parsing.window_model import WindowModel
from pipeline.parsing.work_store import Resident
from storage.errors import InvalidInput, SchemaMismatch
from storage.store import FeatureStore

if TYPE_CHECKING:
    from pipeline.datasets.llp import Annotations
    from pipeline.extraction.reporting import Reporter

RECORD = "json"
"""Always written: a second run knows by it what is done."""


@dataclass(frozen=True)
class Output:
    """What is written for each file.

    Attributes:
        formats: names in :data:`pipeline.parsing.formats.registry.FORMATS`, and :data:`PAGE`.
        probabilities: whether the JSON holds the probabilities of each step.
        truth: annotations that the page draws beside the events.
        keep: a store for the features of the only file, or a folder for one store a file; ``None`` to drop them.
    """

    formats: tuple[str, ...] = (RECORD, PAGE)
    probabilities: bool = False
    truth: Annotations | None = None
    keep: Path | None = None

    def paths(self, job: Job) -> list[Path]:
        """The files of a job."""
        texts = dict.fromkeys((RECORD, *(name for name in self.formats if name != PAGE)))
        files = [path for name in texts for path in registry.FORMATS[name].paths(folder=job.folder, stem=job.stem)]
        return [*files, *([_page_of(job)] if PAGE in self.formats else [])]

    def store_of(self, job: Job, *, alone: bool) -> Path:
        """Where a job's features go."""
        if self.keep is None:
            return job.work_folder / "features.zarr"
        return self.keep if alone and self.keep.suffix == ".zarr" else self.keep / f"{job.stem}.zarr"


@dataclass
class Outcome:
    """What became of the files.

    Attributes:
        parsed: those of this run.
        done: paths of those that an earlier run had parsed in the same way.
        failed: path -> reason.
    """

    parsed: list[ParsedVideo] = field(default_factory=list)
    done: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def parse_files(
    jobs: Sequence[Job],
    model: WindowModel,
    how: HowToParse,
    output: Output,
    *,
    reporter: Callable[[Job], Reporter],
    told: Callable[[Job, ParsedVideo, float], None],
) -> Outcome:
    """Parse files one after another. A file that cannot be parsed stops nothing.

    Args:
        jobs: from :func:`pipeline.parsing.jobs.find_jobs`.
        model: what parses them.
        how: everything else.
        output: what is written.
        reporter: of a file's progress.
        told: called with each parsed file and the seconds that it took.

    Raises:
        AvvpError: What concerns all files: weights, a kept store that holds something else, a full disk.
    """
    outcome = Outcome()
    with DecodePools() as pools:
        resident = Resident(pools)
        for job in jobs:
            if _is_done(job, model, how, output):
                outcome.done.append(job.path)
                continue
            began = time.monotonic()
            try:
                video = _parse(job, model, how, output, alone=len(jobs) == 1, reporter=reporter(job), resident=resident)
            except CannotParse as problem:
                outcome.failed[job.path] = str(problem)
                shutil.rmtree(job.work_folder, ignore_errors=True)
                continue
            outcome.parsed.append(video)
            told(job, video, time.monotonic() - began)
    return outcome


def _is_done(job: Job, model: WindowModel, how: HowToParse, output: Output) -> bool:
    """Whether all output is there, of this file as it is, this model and these settings."""
    paths = output.paths(job)
    if not all(path.is_file() for path in paths) or not job.path.is_file():
        return False
    try:
        found = read_json(paths[0])
    except InvalidInput:  # somebody else's file, or an older form: it is written anew
        return False
    if output.probabilities and not found.probabilities:
        return False
    same = found.settings == settings_of(job.path, model, how) and found.model.weights == model.facts.weights
    return bool(same)


def _parse(
    job: Job, model: WindowModel, how: HowToParse, output: Output, *, alone: bool, reporter: Reporter,
    resident: Resident,
) -> ParsedVideo:  # fmt: skip
    place = output.store_of(job, alone=alone)
    url = str(place)
    if output.keep is None:
        job.work_folder.mkdir(parents=True, exist_ok=True)
    try:
        video = parse_file(job.path, model, how, store_url=url, reporter=reporter, resident=resident)
    except SchemaMismatch:
        if output.keep is not None:
            raise
        # Left by a killed run with another model, or of a file that has changed since.
        shutil.rmtree(job.work_folder)
        job.work_folder.mkdir()
        video = parse_file(job.path, model, how, store_url=url, reporter=reporter, resident=resident)
    _write(job, video, output, url)
    if output.keep is None:
        shutil.rmtree(job.work_folder, ignore_errors=True)
    return video


def _write(job: Job, video: ParsedVideo, output: Output, store_url: str) -> None:
    """The page first and the JSON last: it says that all is done."""
    store = FeatureStore.open(store_url)
    preview = read_preview(store, range(store.info.clips)) if PAGE in output.formats else None
    truth = None if output.truth is None else truth_of(video, output.truth)
    formats = dict.fromkeys((*output.formats, RECORD))
    made = ParsedFile.of(video, preview=preview, truth=truth)
    made.save(job.folder, tuple(formats), stem=job.stem, probabilities=output.probabilities)


def _page_of(job: Job) -> Path:
    return job.folder / f"{job.stem}.html"
