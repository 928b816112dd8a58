"""Subtitles of one modality: WebVTT and SubRip. Cues overlap where events do; they are ordered by their start."""

from __future__ import annotations

import html
import json

from pipeline.parsing.formats.fields import clock, events_of, milliseconds, one_line
from pipeline.parsing.parsed_video import Modality, ParsedVideo

_ARROW = "-->"
"""Stands between the times of a cue, and may stand nowhere else in WebVTT."""


def to_vtt(video: ParsedVideo, modality: Modality) -> str:
    """WebVTT with a cue an event, and a note that says what made it.

    Source: W3C, WebVTT: The Web Video Text Tracks Format, sections 4.1 to 4.4.
    """
    blocks = ["WEBVTT", "\n".join(["NOTE", *_note(video, modality)])]
    for event in events_of(video, modality):
        start, end = milliseconds(event)
        name = html.escape(one_line(event.label), quote=False)
        blocks.append(f"{clock(start)} {_ARROW} {clock(end)}\n{name}")
    return "\n\n".join(blocks) + "\n"


def to_srt(video: ParsedVideo, modality: Modality) -> str:
    """SubRip with a cue an event; without events the file is empty."""
    blocks = []
    for number, event in enumerate(events_of(video, modality), start=1):
        start, end = milliseconds(event)
        times = f"{clock(start, mark=',')} {_ARROW} {clock(end, mark=',')}"
        blocks.append(f"{number}\n{times}\n{one_line(event.label)}\n")
    return "\n".join(blocks)


def _note(video: ParsedVideo, modality: Modality) -> list[str]:
    """Lines of the note."""
    model = video.model
    facts = {
        "file": video.path.name,
        "modality": modality,
        "model": f"{model.name} ({model.kind})",
        "weights": ", ".join(f"{name} {identity}" for name, identity in model.weights.items()),
        "random weights, the events mean nothing": ", ".join(model.random),
        "settings": json.dumps(video.settings, ensure_ascii=False) if video.settings else "",
    }
    lines = [f"{name}: {fact}" for name, fact in facts.items() if fact] + [f"note: {note}" for note in video.notes]
    return [one_line(line).replace(_ARROW, "->") for line in lines]
