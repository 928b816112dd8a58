"""Parses many files: skips what is done, goes on where it was killed, writes the output, survives bad files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.extraction.decode_pools import DecodePools
from pipeline.parsing.formats import registry
from pipeline.parsing.formats.whole_files import FULL_DISK
from pipeline.parsing.jobs import Job
from pipeline.parsing.output_record import OutputRecord, check_replaceable, read_record
from pipeline.parsing.parse_file import HowToParse, parse_file, settings_of
from pipeline.parsing.parsed_file import PAGE, RECORD, ParsedFile
from pipeline.parsing.parsed_video import ParsedVideo
from pipeline.parsing.truth import Truth, identity_of
from pipeline.parsing.window_model import WindowModel
from pipeline.parsing.work_folder import clear, held, sweep
from pipeline.parsing.work_store import Resident
from storage.errors import AvvpError, BackboneBroken, InvalidInput, SchemaMismatch, StoreError, WeightsError
from storage.store import FeatureStore
from storage.text import visible

if TYPE_CHECKING:
    from pipeline.datasets.llp import Annotations
    from pipeline.extraction.reporting import Reporter


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
        """The files of a job, the JSON first."""
        texts = dict.fromkeys((RECORD, *(name for name in self.formats if name != PAGE)))
        files = [path for name in texts for path in registry.FORMATS[name].paths(folder=job.folder, stem=job.stem)]
        return [*files, *([_page_of(job)] if PAGE in self.formats else [])]

    def store_of(self, job: Job, *, alone: bool) -> Path:
        """Where a job's features go."""
        if self.keep is None:
            return job.work_folder / "features.zarr"
        return self.keep if alone and self.keep.suffix == ".zarr" else self.keep / f"{job.stem}.zarr"

    def check(self, jobs: Sequence[Job]) -> None:
        """Check that the output of all jobs has a place of its own.

        Raises:
            InvalidInput: If a file is where a folder should be, or two files would share a store.
        """
        for option, folder in (("--keep", self.keep), *(("--output-dir", job.folder) for job in jobs)):
            if folder is not None and (found := next(filter(Path.exists, [folder, *folder.parents]))).is_file():
                raise InvalidInput(f"{option} {folder}: {found} is a file, expected a folder")
        if self.keep is None or len(jobs) == 1:
            return
        if self.keep.suffix == ".zarr":
            raise InvalidInput(f"--keep {self.keep}: is a store of one file, there are {len(jobs)}. Give a folder")
        first: dict[Path, Job] = {}
        for job in jobs:
            other = first.setdefault(self.store_of(job, alone=False), job)
            if other is not job:
                both = f"{other.path} and {job.path}"
                raise InvalidInput(f"--keep {self.keep}: {both} would have the same store. Parse them one by one")


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
        AvvpError: What concerns all files: weights, a broken backbone, or the only file's kept store.
        OSError: Of a full disk.
    """
    outcome = Outcome()
    alone = len(jobs) == 1
    with DecodePools() as pools:
        parser = _Parser(model, how, output, alone, Resident(pools))
        for job in jobs:
            began = time.monotonic()
            try:
                video = parser.parse(job, reporter(job))
            except (AvvpError, OSError) as problem:
                if _ends_the_run(problem, chosen_store=output.keep is not None and alone):
                    raise
                outcome.failed[job.path] = _reason(job, problem)
                continue
            if video is None:
                outcome.done.append(job.path)
            else:
                outcome.parsed.append(video)
                told(job, video, time.monotonic() - began)
    return outcome


def _ends_the_run(problem: AvvpError | OSError, *, chosen_store: bool) -> bool:
    """Whether other files would fail in the same way, or the only file's store was the user's choice."""
    if isinstance(problem, OSError):
        return problem.errno in FULL_DISK
    if isinstance(problem, (SchemaMismatch, StoreError)):
        return chosen_store
    return _of_all_files(problem)


def _of_all_files(problem: AvvpError) -> bool:
    return isinstance(problem, (WeightsError, BackboneBroken))


def _reason(job: Job, problem: AvvpError | OSError) -> str:
    """Why a file failed; the file comes first."""
    text = str(problem)
    if isinstance(problem, OSError):
        text = f"{problem.filename or job.folder}: {problem.strerror or problem}"
    return text if text.startswith((str(job.path), visible(job.path))) else f"{job.path}: {text}"


@dataclass(frozen=True)
class _Parser:
    """Parses files, and writes their output."""

    model: WindowModel
    how: HowToParse
    output: Output
    alone: bool
    resident: Resident

    def parse(self, job: Job, reporter: Reporter) -> ParsedVideo | None:
        """The result; ``None`` if an earlier run had it already, or another process meanwhile."""
        if self._is_done(job, read_record(self.output.paths(job)[0])):
            sweep(job.work_folder)
            return None
        with held(job.work_folder, waiting=lambda: reporter.waiting(1)):
            paths = self.output.paths(job)
            record = read_record(paths[0])  # it may have come while we waited
            if self._is_done(job, record):
                clear(job.work_folder)
                return None
            check_replaceable(paths[1:], record)
            if record is not None and (texts := self._missing_texts(job, record)):
                return self._rewritten(job, record, texts)
            try:
                video, store = self._parsed(job, reporter)
                self._write(job, video, store, record)
            except AvvpError as problem:
                if not _of_all_files(problem):
                    clear(job.work_folder)
                raise
            clear(job.work_folder)
        return video

    def _is_done(self, job: Job, record: OutputRecord | None) -> bool:
        """Whether all that was asked for is there, of this file as it is, this model and these settings."""
        others = self.output.paths(job)[1:]
        if record is None or not job.path.is_file() or not self._same(job, record):
            return False
        if self.output.probabilities and not record.video.probabilities:
            return False
        if self.output.keep is not None and not self.output.store_of(job, alone=self.alone).exists():
            return False
        if PAGE in self.output.formats and self._truth_identity(job) not in ("", record.truth):
            return False
        return all(path.name in record.files and path.is_file() for path in others)

    def _missing_texts(self, job: Job, record: OutputRecord) -> tuple[str, ...]:
        """Formats that the events in the JSON suffice for, if nothing else is missing."""
        alone = replace(self.output, formats=tuple(name for name in self.output.formats if name in (PAGE, RECORD)))
        if not replace(self, output=alone)._is_done(job, record):
            return ()
        return tuple(name for name in self.output.formats if name not in (PAGE, RECORD))

    def _rewritten(self, job: Job, record: OutputRecord, formats: Sequence[str]) -> ParsedVideo:
        """Write further formats of a file that has been parsed, and the JSON that notes them. Decodes nothing."""
        video = replace(record.video, path=job.path, settings=record.settings)
        truth = Truth(identity=record.truth) if record.truth else None
        ParsedFile.of(video, truth=truth).save(
            job.folder, (*formats, RECORD), stem=job.stem, probabilities=bool(video.probabilities), earlier=record.files
        )
        return video

    def _same(self, job: Job, record: OutputRecord) -> bool:
        video, model = record.video, self.model
        same = video.classes == model.classes and video.model.weights == model.facts.weights
        return same and record.settings == settings_of(job.path, model, self.how)

    def _truth_identity(self, job: Job) -> str:
        return "" if self.output.truth is None else identity_of(job.path.stem, self.output.truth)

    def _parsed(self, job: Job, reporter: Reporter) -> tuple[ParsedVideo, FeatureStore]:
        url = str(self.output.store_of(job, alone=self.alone))
        parse = partial(
            parse_file, job.path, self.model, self.how, store_url=url, reporter=reporter, resident=self.resident
        )
        try:
            video = parse()
        except (SchemaMismatch, StoreError) as problem:
            if self.output.keep is not None:
                what = str(problem).rpartition(". ")[0] or str(problem)  # without the remedy of avvp extract
                raise type(problem)(f"{what}. Give another --keep, or remove this one") from problem
            # Left by a killed run with another model, or of a file that has changed since.
            clear(job.work_folder)
            video = parse()
        return video, FeatureStore.open(url)

    def _write(self, job: Job, video: ParsedVideo, store: FeatureStore, record: OutputRecord | None) -> None:
        earlier = record.files if record is not None and self._same(job, record) else {}
        has_page = PAGE in self.output.formats
        shown = ParsedFile.from_store(video, store, annotations=self.output.truth) if has_page else ParsedFile.of(video)
        shown.save(
            job.folder, tuple(dict.fromkeys((*self.output.formats, RECORD))), stem=job.stem,
            probabilities=self.output.probabilities, earlier=earlier,
        )  # fmt: skip


def _page_of(job: Job) -> Path:
    return job.folder / f"{job.stem}.html"
