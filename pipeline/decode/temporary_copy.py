"""A temporary local file that a kill leaves no bytes of.

The bytes lie in a file without a name, which the kernel frees when its process ends, however it ends. What has a name
is a link to it, with a suffix, in a folder of this process.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from storage.closing import Closing
from storage.media.opening import NotFetched

FOLDER_PREFIX = "avvp-media-"
_SUFFIX = re.compile(r"\.[A-Za-z0-9+-]{1,10}")


@dataclass(frozen=True)
class TemporaryCopy(Closing):
    """A file's bytes on this machine.

    Attributes:
        path: to read them at.
        descriptor: keeps them.
    """

    path: Path
    descriptor: int

    def close(self) -> None:
        """Remove it. Must be called once."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


class CopyFolder(Closing):
    """The folder of a process's copies, which nobody else may look into.

    Args:
        path: where to make it when the first copy is made; ``None`` for a new name in the folder of temporary files.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._made = False

    def close(self) -> None:
        """Remove it."""
        if self._path is not None and self._made:
            shutil.rmtree(self._path, ignore_errors=True)
        self._made = False

    def copy(self, chunks: Iterable[bytes], *, size: int, suffix: str) -> TemporaryCopy:
        """Write a copy.

        Args:
            chunks: its bytes.
            size: how many they are.
            suffix: of the file's name, which a demuxer may look at. An odd one is left out.

        Raises:
            NotFetched: If there is no room, or the place cannot be written.
        """
        place = tempfile.gettempdir() if self._path is None else str(self._path.parent)
        try:
            folder = self._folder()
            free = shutil.disk_usage(folder).free
            if size > free:
                raise NotFetched(
                    f"its {size / 1e6:,.0f} MB do not fit in the {free / 1e6:,.0f} MB free in {place}. TMPDIR names "
                    "another place"
                )
            made = _nameless(folder, suffix if _SUFFIX.fullmatch(suffix) else "")
        except OSError as problem:
            raise _cannot_be_written(place, problem) from None
        try:
            for chunk in chunks:
                try:
                    _write(made.descriptor, chunk)
                except OSError as problem:
                    raise _cannot_be_written(place, problem) from None
        except BaseException:
            made.close()
            raise
        return made

    def _folder(self) -> Path:
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        elif not self._made:
            self._path.mkdir(mode=0o700)
        self._made = True
        return self._path


def _nameless(folder: Path, suffix: str) -> TemporaryCopy:
    """A new file, and a link in its place; without /proc the file keeps its name."""
    descriptor, name = tempfile.mkstemp(suffix=suffix, dir=folder)
    made = TemporaryCopy(Path(name), descriptor)
    held = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    if held.exists():
        made.path.unlink()
        made.path.symlink_to(held)
    return made


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _cannot_be_written(place: str, problem: OSError) -> NotFetched:
    return NotFetched(f"{place}: cannot be written ({problem.strerror}). TMPDIR names another place")
