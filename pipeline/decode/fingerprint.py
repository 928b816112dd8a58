"""The content address of a clip: the bytes of its file, and its span."""

from __future__ import annotations

import hashlib
from pathlib import Path

from storage.clips import Clip


def span_fingerprint(path: str, *, start_seconds: float, end_seconds: float | None) -> str:
    """SHA-256 of a file's bytes and a span of it.

    Returns:
        64 hexadecimal digits, or ``""`` where there is no such file.
    """
    if not Path(path).is_file():
        return ""
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(f"\n{start_seconds!r}\t{end_seconds!r}".encode())
    return digest.hexdigest()


def clip_fingerprint(clip: Clip) -> str:
    """:func:`span_fingerprint` of a clip."""
    return span_fingerprint(clip.path, start_seconds=clip.start_seconds, end_seconds=clip.end_seconds)
