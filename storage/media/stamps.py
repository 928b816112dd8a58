"""Cheap signs that a clip's file has not changed."""

from __future__ import annotations

import os

from storage.media.addresses import is_address


def file_stamp(path: str) -> tuple[int, int] | None:
    """Size and modification time of a clip's file.

    Returns:
        ``None`` where there is no such file, and for media in buckets and tars: to look at a million of them would
        take as many requests, or a walk through every tar.
    """
    if is_address(path):
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 - a name may be too long for Path
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns
