"""Writes a text file whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from storage.errors import InvalidInput
from storage.foreign_files import reason_of
from storage.text import visible


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8. A run that is killed meanwhile leaves the old file, or none.

    Args:
        path: of the file; missing folders are made.
        text: its content, with the line ends as they are.

    Raises:
        InvalidInput: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text.encode())
    except OSError as problem:
        why = reason_of(problem)
        raise InvalidInput(f"{visible(path)}: cannot be written: {why}. Choose another folder or name") from None


def _replace(path: Path, data: bytes) -> None:
    # The temporary name does not contain the file's: together they could be longer than file systems allow.
    temporary = path.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
