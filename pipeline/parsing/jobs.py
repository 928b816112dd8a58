"""What to parse, and where its output goes."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.errors import InvalidInput
from storage.tables.media_files import find_media
from storage.text import visible


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
        return self.folder / f".{self.stem}.avvp-parse"


def find_jobs(inputs: Sequence[str], *, out: Path | None = None) -> tuple[list[Job], tuple[str, ...]]:
    """The files to parse, each once, and notes on what was left out of folders.

    Output lies beside the file, or in ``out``. It is named by the file without its suffix, or with it where two files
    would have one name.

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
    places = [(file, out if out is not None else file.parent) for file in files.values()]
    counts = Counter((folder, file.stem) for file, folder in places)
    jobs = [Job(file, folder, file.stem if counts[folder, file.stem] == 1 else file.name) for file, folder in places]
    repeated = [key for key, count in Counter((job.folder, job.stem) for job in jobs).items() if count > 1]
    if repeated:
        same = [str(job.path) for job in jobs if (job.folder, job.stem) == repeated[0]]
        raise InvalidInput(
            f"{visible(same[0])} and {visible(same[1])} would have the same output. Leave --output-dir away"
        )
    return jobs, tuple(notes)


def _expanded(text: str) -> list[Path]:
    """The paths that an argument stands for."""
    path = Path(text).expanduser()
    if os.path.lexists(path):
        return [path]
    # A pattern may be absolute, which those of Path may not.
    matches = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(text) else []  # noqa: PTH207
    if not matches:
        raise InvalidInput(f"{visible(text)}: no such file or folder")
    return [Path(match) for match in matches]
