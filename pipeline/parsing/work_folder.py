"""The hidden folder of a file that is being parsed. One process holds it; what a kill leaves is used again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.files.local import open_locked

_LOCK = "lock"
_POLL_SECONDS = 0.5


@contextmanager
def held(folder: Path, *, waiting: Callable[[], None]) -> Iterator[bool]:
    """Hold a folder, which is made if absent, until the end of the block. It goes if nothing was left in it.

    Args:
        folder: of a file's features; other processes that parse the same file use the same one.
        waiting: called once if another process holds it.

    Yields:
        Whether another process held it meanwhile: it may have done the work.

    Raises:
        OSError: If it cannot be made.
    """
    descriptor, waited = _locked(folder), False
    while descriptor is None:
        if not waited:
            waiting()
        waited = True
        time.sleep(_POLL_SECONDS)
        descriptor = _locked(folder)
    try:
        yield waited
    finally:
        with suppress(FileNotFoundError):
            if [path.name for path in folder.iterdir()] == [_LOCK]:
                _remove(folder)
        os.close(descriptor)


def clear(folder: Path) -> None:
    """Remove all that a held folder has; the folder itself goes with the hold."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()


def sweep(folder: Path) -> None:
    """Remove a folder that a killed process left; not one that is in use, or that cannot be removed."""
    if not folder.is_dir():
        return
    with suppress(OSError):
        descriptor = _locked(folder)
        if descriptor is not None:
            clear(folder)
            _remove(folder)
            os.close(descriptor)


def _locked(folder: Path) -> int | None:
    """Make and lock; ``None`` while another process holds it. The lock dies with the process."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # its holder has removed it just now
            return open_locked(folder / _LOCK)


def _remove(folder: Path) -> None:
    (folder / _LOCK).unlink()
    with suppress(OSError):  # another process has begun to use it
        folder.rmdir()
