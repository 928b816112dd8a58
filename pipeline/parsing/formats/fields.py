"""Times and names as text formats need them: whole milliseconds, and one line."""

from __future__ import annotations

import re

from pipeline.parsing.parsed_video import Event, Modality, ParsedVideo
from storage.text import visible

SIGN = "Made by avvp parse"
"""In files that bear the names which people give to files of their own: pages and ELAN documents."""
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def one_line(text: str) -> str:
    """A name on one line, without control characters: in most formats a line end or a tab ends a name."""
    return xml_text(visible(" ".join(text.split())))


def xml_text(text: str) -> str:
    """Text without the characters that XML 1.0 forbids; U+FFFD stands for each."""
    return _NO_XML.sub("\ufffd", text)


def events_of(video: ParsedVideo, modality: Modality) -> list[Event]:
    """Events of one modality by their start."""
    found = [event for event in video.events if event.modality == modality]
    return sorted(found, key=lambda event: (event.start_seconds, event.end_seconds))


def milliseconds(event: Event) -> tuple[int, int]:
    """Start and end in whole milliseconds; the end is later than the start however short the event is."""
    start = round(event.start_seconds * 1000)
    return start, max(round(event.end_seconds * 1000), start + 1)


def clock(time_ms: int, *, mark: str = ".") -> str:
    """``HH:MM:SS.mmm``, with more digits from 100 hours on.

    Args:
        time_ms: milliseconds.
        mark: between seconds and milliseconds.
    """
    seconds, rest = divmod(time_ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{rest:03d}"
