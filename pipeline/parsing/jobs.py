"""What to parse, and where its output goes."""

from __future__ import annotations

import glob
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.parsing.formats.registry import FORMATS
from storage.errors import InvalidInput
from storage.media.addresses import is_address
from storage.tables.media_files import MEDIA_SUFFIXES, find_media
from storage.text import count, visible

PAGE_ENDING = ".html"
ENDINGS = (*(ending for entry in FORMATS.values() for ending in entry.files), PAGE_ENDING)
"""What follows the stem in the names of output."""
_LONGEST_STEM_BYTES = 255 - len("..avvp-parse")


@dataclass(frozen=True)
class Job:
    """One file.

    Attributes:
        path: of the file.
        folder: of its output.
        stem: begins the names of its output.
    """

    path: Path
    folder: Path
    stem: str

    @property
    def work_folder(self) -> Path:
        """Where features lie until the output is written; hidden."""
        name = os.fsencode(self.stem)
        short = self.stem if len(name) <= _LONGEST_STEM_BYTES else hashlib.sha256(name).hexdigest()
        return self.folder / f".{short}.avvp-parse"


def find_jobs(inputs: Sequence[str], *, out: Path | None = None) -> tuple[list[Job], tuple[str, ...]]:
    """The files to parse, each once, and notes on what was left out of folders.

    Output lies beside the file, or in ``out``. It is named by the file without its suffix, or with it where two files
    would have one name. Output of an earlier run, which ``talks/*`` names too, is no input.

    Args:
        inputs: files, folders and patterns such as ``talks/*.mp4``. A file is taken whatever its suffix.
        out: folder for the output of all.

    Raises:
        InvalidInput: If an input is not there, or nothing is found.
    """
    files: dict[str, Path] = {}
    notes: list[str] = []
    for text in inputs:
        for path in _expanded(text):
            if path.is_dir():
                found = find_media(path)
                notes += [f"{visible(text)}: {note}" for note in found.notes]
                if not found.files:
                    raise InvalidInput(f"{visible(text)}: holds no media file. Give a folder with videos, or a file")
                some = found.files
            else:
                some = (path,)
            files |= {os.path.realpath(file): file for file in some if os.path.realpath(file) not in files}
    chosen = [file for file in files.values() if not _is_output(file, files.values())]
    if written := len(files) - len(chosen):
        notes.append(f"left out {count(written, 'file')} that avvp parse wrote")
    jobs = _named([(file, out if out is not None else file.parent) for file in chosen])
    _check_apart({(job.folder, job.stem): job.path for job in jobs}, jobs)
    return jobs, tuple(notes)


def _is_output(file: Path, files: Iterable[Path]) -> bool:
    """Whether a file bears the name of output of another one beside it."""
    if file.suffix.lower() in MEDIA_SUFFIXES:
        return False
    stems = {name[: -len(ending)] for name in [file.name] for ending in ENDINGS if name.endswith(ending)}
    beside = [other for other in files if other.parent == file.parent and not other.name.endswith(ENDINGS)]
    return any(other.stem in stems or other.name in stems for other in beside)


def _named(places: Sequence[tuple[Path, Path]]) -> list[Job]:
    """Jobs of files and the folders of their output; a stem that is not its file's alone is the whole name."""
    stems = Counter((folder, file.stem) for file, folder in places)
    names = Counter((folder, file.name) for file, folder in places)
    jobs = []
    for file, folder in places:
        others = stems[folder, file.stem] - 1 + names[folder, file.stem] - (file.name == file.stem)
        jobs.append(Job(file, folder, file.name if others else file.stem))
    return jobs


def _check_apart(first: Mapping[tuple[Path, str], Path], jobs: Sequence[Job]) -> None:
    for job in jobs:
        other = first[job.folder, job.stem]
        if other != job.path:
            both = f"{visible(job.path)} and {visible(other)}"
            raise InvalidInput(f"{both} would have the same output. Leave --output-dir away, or rename one")


def _expanded(text: str) -> list[Path]:
    """The paths that an argument stands for."""
    if is_address(text):
        raise InvalidInput(f"{visible(text)}: what is parsed has to be a file on this machine. Copy it first")
    path = Path(text).expanduser()
    if os.path.lexists(path):
        return [path]
    # A pattern may be absolute, which those of Path may not.
    matches = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(text) else []  # noqa: PTH207
    if not matches:
        raise InvalidInput(f"{visible(text)}: no such file or folder")
    return [Path(match) for match in matches]
