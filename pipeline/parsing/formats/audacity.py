"""Audacity: a label track of one modality, as File > Import > Labels reads it."""

from __future__ import annotations

from pipeline.parsing.formats.fields import events_of, milliseconds, one_line
from pipeline.parsing.parsed_video import Modality, ParsedVideo


def to_audacity(video: ParsedVideo, modality: Modality) -> str:
    """A line an event: start and end in seconds and the class, with tabs between."""
    lines = []
    for event in events_of(video, modality):
        start, end = milliseconds(event)
        lines.append(f"{start / 1000:.6f}\t{end / 1000:.6f}\t{one_line(event.label)}\n")
    return "".join(lines)
