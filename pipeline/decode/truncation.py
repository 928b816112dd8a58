"""Detects truncated files by what their header declares."""

from __future__ import annotations

from typing import Any

import av.container

from pipeline.decode.clock import MICROSECOND
from pipeline.decode.media import Words

_PREMATURE = "File ended prematurely"
"""What libavformat's Matroska demuxer says of a file that stops in the middle of an element."""


def proven_truncation(container: av.container.InputContainer, words: Words) -> str:
    """Words on what is cut off, where that is certain; empty otherwise.

    MP4 and MOV list each sample's place: one that lies behind the end of the file is missing. A Matroska file that
    stops within an element is cut. A header's duration proves nothing: tools copy it from longer files.
    """
    if container.format.name.startswith("mov,"):
        size = container.size
        ends = [entry[-1].pos + entry[-1].size for s in container.streams if len(entry := s.index_entries)]
        if size > 0 and max(ends, default=0) > size:
            return "samples lie behind the end of the file"
    if any(_PREMATURE in message for _, _, message in words):
        return "the file ended prematurely"
    return ""


def declared_end(container: av.container.InputContainer, stream: Any) -> float | None:
    """Where the header says that a stream ends, in seconds on its own clock.

    Returns:
        ``None`` where nothing is declared or libavformat would only guess.
    """
    name = container.format.name
    if name.startswith("matroska"):
        tagged = _seconds_of_tag(stream.metadata.get("DURATION", ""))
        return tagged if tagged is not None else _container_end(container)
    if name.startswith("mov,") or name == "avi":
        if not stream.duration:
            return None
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    return _container_end(container) if name == "flv" else None


def _container_end(container: av.container.InputContainer) -> float | None:
    if not container.duration:
        return None
    return float((container.duration + (container.start_time or 0)) * MICROSECOND)


def _seconds_of_tag(text: str) -> float | None:
    """Seconds of ``HH:MM:SS.nnn``; ``None`` for anything else, for a tag may hold any text."""
    parts = text.split(":")
    try:
        hours, minutes, seconds = int(parts[0]), int(parts[1]), float(parts[2])
    except (ValueError, IndexError):
        return None
    return hours * 3600 + minutes * 60 + seconds
