"""The content address of a clip: the bytes of its file, and its span."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from storage.clips import Clip

_FILES_REMEMBERED = 2
"""A long video is many clips of one file, which is read for its digest once."""


def span_fingerprint(path: str, *, start_seconds: float, end_seconds: float | None) -> str:
    """SHA-256 of a file's bytes and a span of it.

    Returns:
        64 hexadecimal digits, or ``""`` where there is no such file.
    """
    if not Path(path).is_file():
        return ""
    digest = _of_bytes(path, file_state(path)).copy()
    digest.update(f"\n{start_seconds!r}\t{end_seconds!r}".encode())
    return str(digest.hexdigest())


def file_state(path: str) -> tuple[int, ...]:
    """What changes when a file is written: device, inode, size and times."""
    stat = os.stat(path)  # noqa: PTH116 - a name may be too long for Path
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=_FILES_REMEMBERED)
def _of_bytes(path: str, state: tuple[int, ...]) -> Any:
    """SHA-256 object of a file's bytes while it stays as it is."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256")


def clip_fingerprint(clip: Clip) -> str:
    """:func:`span_fingerprint` of a clip."""
    return span_fingerprint(clip.path, start_seconds=clip.start_seconds, end_seconds=clip.end_seconds)
