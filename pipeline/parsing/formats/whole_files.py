"""Writes a text file whole or not at all."""

from __future__ import annotations

import errno
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import InvalidInput
from storage.files.local import written_whole
from storage.foreign_files import reason_of
from storage.text import visible

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8. A run that is killed meanwhile leaves the old file, or none.

    Args:
        path: of the file; missing folders are made.
        text: its content, with the line ends as they are.

    Raises:
        InvalidInput: If it cannot be written.
        OSError: If the disk is full.
    """
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text.encode())


def remove(path: Path) -> None:
    """Remove a file that is about to be written anew, if it is there.

    Raises:
        InvalidInput: If it cannot be removed.
    """
    with _writing(path):
        path.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        if problem.errno in FULL_DISK:  # of no use to choose another name
            raise OSError(problem.errno, problem.strerror, str(path)) from None
        why = reason_of(problem)
        raise InvalidInput(f"{visible(path)}: cannot be written: {why}. Choose another folder or name") from None


def _replace(path: Path, data: bytes) -> None:
    # The temporary name does not contain the file's: together they could be longer than file systems allow.
    with written_whole(path, path.with_name(f".{uuid.uuid4().hex}.partial")) as file:
        file.write(data)
