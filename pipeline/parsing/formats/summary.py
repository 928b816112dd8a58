"""A parsed video at a glance: a few lines of text, and an HTML table for notebooks."""

from __future__ import annotations

import html

from pipeline.parsing.formats.fields import clock, milliseconds, one_line
from pipeline.parsing.parsed_video import Event, ParsedVideo
from storage.text import count

_SHOWN_EVENTS = 12
_COLUMNS = ("class", "modality", "start", "end", "mean", "peak")


def summary_text(video: ParsedVideo, *, limit: int = _SHOWN_EVENTS) -> str:
    """The file, the model and its first events, a line each.

    Args:
        video: the parsed video.
        limit: of events.
    """
    lines = [_headline(video)]
    if video.model.random:
        lines.append(f"  {_warning(video)}")
    lines += [f"  note: {one_line(note)}" for note in video.notes]
    for event in video.events[:limit]:
        name, modality, start, end, mean, _ = _cells(event)
        lines.append(f"  {start} to {end}  {modality:<6}  {mean}  {name}")
    if more := len(video.events) - limit:
        lines += [f"  and {more:,} more"] if more > 0 else []
    return "\n".join(lines)


def summary_html(video: ParsedVideo) -> str:
    """The same as a table with all events, for ``_repr_html_``: no scripts, every name escaped."""
    warning = f"<p style='color:#c00;font-weight:bold'>{html.escape(_warning(video))}</p>" if video.model.random else ""
    notes = "".join(f"<p>{html.escape(one_line(note))}</p>" for note in video.notes)
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in _COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in _cells(event)) + "</tr>"
        for event in video.events
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if video.events else ""
    return f"<div><p><b>{html.escape(_headline(video))}</b></p>{warning}{notes}{table}</div>"


def _headline(video: ParsedVideo) -> str:
    events = count(len(video.events), "event")
    name = one_line(video.path.name)
    return f"{name}: {video.duration_seconds:.2f} s, {events}, by {one_line(video.model.name)} ({video.model.kind})"


def _warning(video: ParsedVideo) -> str:
    return f"Random weights ({', '.join(map(one_line, video.model.random))}): these events mean nothing"


def _cells(event: Event) -> tuple[str, ...]:
    start, end = milliseconds(event)
    return one_line(event.label), event.modality, clock(start), clock(end), f"{event.mean:.2f}", f"{event.peak:.2f}"
