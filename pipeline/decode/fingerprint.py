"""The content address of a clip: the bytes of its file, and its span."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from storage.clips import Clip
from storage.media.addresses import is_address

_FILES_REMEMBERED = 1024
"""Digests take 300 bytes. A table may go through many long videos in turn, and cut clips from each."""


def span_fingerprint(path: str, *, start_seconds: float, end_seconds: float | None) -> str:
    """SHA-256 of a file's bytes and a span of it. A process reads a file for it once, however many spans it has.

    Args:
        path: of a file on this machine.
        start_seconds: of the span.
        end_seconds: of the span.

    Returns:
        64 hexadecimal digits, or ``""`` where there is no such file.
    """
    if not Path(path).is_file():
        return ""
    digest = _digests.of(path).copy()
    digest.update(f"\n{start_seconds!r}\t{end_seconds!r}".encode())
    return str(digest.hexdigest())


def file_state(path: str) -> tuple[int, ...]:
    """What changes when a file is written: device, inode, size and times."""
    stat = os.stat(path)  # noqa: PTH116 - a name may be too long for Path
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def clip_fingerprint(clip: Clip) -> str:
    """:func:`span_fingerprint` of a clip; ``""`` for one in a bucket or a tar, which is read by the decoder only."""
    if is_address(clip.path):
        return ""
    return span_fingerprint(clip.path, start_seconds=clip.start_seconds, end_seconds=clip.end_seconds)


class Digests:
    """SHA-256 objects of files' bytes, remembered while the files stay as they are. Any thread may ask.

    Args:
        remembered: how many; the one that was asked for longest ago goes first.
    """

    def __init__(self, remembered: int = _FILES_REMEMBERED) -> None:
        self._remembered = remembered
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._reading: dict[tuple[Any, ...], threading.Lock] = {}

    def of(self, path: str) -> Any:
        """The digest of a file, which nobody may update. Two threads that ask for one file read it once."""
        key = (path, *file_state(path))
        with self._lock:
            turn = self._reading.setdefault(key, threading.Lock())
        try:
            with turn:
                with self._lock:
                    if key in self._known:
                        self._known.move_to_end(key)
                        return self._known[key]
                with Path(path).open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256")
                if (path, *file_state(path)) == key:  # else it was written meanwhile
                    self._remember(key, digest)
                return digest
        finally:
            with self._lock:
                self._reading.pop(key, None)

    def _remember(self, key: tuple[Any, ...], digest: Any) -> None:
        with self._lock:
            self._known[key] = digest
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)


_digests = Digests()
