"""The parts of a page that need no script: title, warnings, tables, and what the model cannot know."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.metrics.parsing import HEADINGS
from pipeline.parsing.parsed_video import MODALITIES, Event, Modality, ModelFacts, ParsedVideo
from pipeline.parsing.truth import Truth
from storage.text import count, visible

WORDS: Mapping[Modality, str] = {"audio": "heard", "visual": "seen"}
_SHOWN_HASH = 20
_KINDS: Mapping[str, str] = {
    "run": "A trained run: it was trained on videos that were labelled with these classes.",
    "zero-shot": "Zero-shot: nothing was trained on these classes. Networks that were trained on other data were "
    "asked for them by name.",
}


def text(value: object) -> str:
    """Foreign text for HTML, in elements and in quoted attributes."""
    return html.escape(visible(value), quote=True)


def warning(model: ModelFacts) -> str:
    """The red box of a model with random weights."""
    if not model.random:
        return ""
    names = ", ".join(f"<b>{text(name)}</b> ({text(model.weights[name])})" for name in model.random)
    return (
        "<div class=random role=alert><strong>Random weights</strong><span>These events mean nothing: the weights of "
        f"{names} are random numbers, and nothing was ever learned with them.</span></div>"
    )


def header(video: ParsedVideo) -> str:
    """The title and one line of facts."""
    found = count(len(video.events), "event")
    facts = [clock(video.duration_seconds), f"{found} of {_classes(video)}"]
    about = f"<span class=about>{text(video.model.description)}</span>" if video.model.description else ""
    kind = "zero-shot" if video.model.kind == "zero-shot" else "trained run"
    return (
        f"<header><h1>{text(video.path.name)}</h1><p class=facts>{' · '.join(facts)} · parsed by "
        f"<b>{text(video.model.name)}</b> <span class=kind>{kind}</span></p>{about}</header>"
    )


def notes(video: ParsedVideo, truth: Truth | None) -> str:
    """What a reader must know before the events."""
    said = [*video.notes, *([f"truth: {truth.note}"] if truth is not None and truth.note else [])]
    items = "".join(f"<li>{text(note)}</li>" for note in said)
    return f"<ul class=notes>{items}</ul>" if items else ""


def events_table(video: ParsedVideo) -> str:
    """All events; the script makes its rows seek."""
    head = "<thead><tr><th>class<th>modality<th class=n>start<th class=n>end<th class=n>mean<th class=n>peak</thead>"
    rows = "".join(_event_row(event) for event in video.events)
    if not rows:
        return "<p class=empty>No event: no probability reaches its threshold.</p>"
    return f"<div class=scrolls><table id=events>{head}<tbody>{rows}</tbody></table></div>"


def _event_row(event: Event) -> str:
    start, end = event.start_seconds, event.end_seconds
    return (
        f"<tr data-start={start:.3f} data-end={end:.3f}><td><button type=button>{text(event.label)}</button>"
        f"<td><i class='mark {WORDS[event.modality]}'></i>{WORDS[event.modality]}<td class=n>{clock(start)}"
        f"<td class=n>{clock(end)}<td class=n>{event.mean:.2f}<td class=n>{event.peak:.2f}"
    )


def scores_table(truth: Truth | None) -> str:
    """The eleven scores of this video."""
    if truth is None or not truth.scores:
        return ""
    columns = ("a", "v", "av", "type", "event")
    head = "".join(f"<th class=n>{text(HEADINGS[f'seg_{name}'].split()[1])}" for name in columns)
    rows = "".join(
        f"<tr><th>{title}" + "".join(f"<td class=n>{truth.scores[f'{kind}_{name}']:.1f}" for name in columns)
        for kind, title in (("seg", "segments"), ("ev", "events"))
    )
    return (
        f"<section class=card><h2>Against the annotations of {text(truth.clip)}</h2><table class=scores><thead><tr>"
        f"<th>F1, %{head}</thead><tbody>{rows}<tr class=total><th colspan=5>average of the ten"
        f"<td class=n>{truth.scores['average']:.1f}</tbody></table>"
        "<p class=facts>Of this video alone. A: heard, V: seen, AV: both at once, Type and Event: the published means."
        "</p></section>"
    )


def limits(video: ParsedVideo) -> str:
    """What the model cannot know, and what made the page."""
    model, step = video.model, f"{video.segment_seconds:g} s"
    said = [
        f"It knows {_classes(video)} and nothing else. What is none of them is left out, or taken for one.",
        f"It decides once every {step}. Starts and ends are rounded to that grid, and two events of a class within "
        f"{step} are one.",
        _KINDS[model.kind],
    ]
    items = "".join(f"<li>{line}</li>" for line in said)
    for modality in MODALITIES:
        if names := model.unknown.get(modality):
            shown = ", ".join(text(name) for name in names)
            items += f"<li>Cannot be {WORDS[modality]} by this model: <b>{shown}</b></li>"
    classes = _details("Its classes", f"<p>{text(', '.join(video.classes))}</p>")
    made_by = _details("Weights, settings and versions", _made_by(video))
    return f"<section class=card><h2>What this model cannot know</h2><ul>{items}</ul>{classes}{made_by}</section>"


def _classes(video: ParsedVideo) -> str:
    return f"{len(video.classes)} class" + ("" if len(video.classes) == 1 else "es")


def _made_by(video: ParsedVideo) -> str:
    random = video.model.random
    weights = [(name, _short(identity), name in random) for name, identity in video.model.weights.items()]
    settings = [(name, _plain(value), False) for name, value in video.settings.items()]
    versions = [(name, version, False) for name, version in video.libraries.items()]
    return "".join(
        f"<h3>{title}</h3><table class=facts-table>{_rows(rows)}</table>"
        for title, rows in (("Weights", weights), ("Settings", settings), ("Versions", versions))
        if rows
    )


def _rows(rows: Iterable[tuple[str, str, bool]]) -> str:
    return "".join(f"<tr><th>{text(name)}<td{' class=bad' if bad else ''}>{text(value)}" for name, value, bad in rows)


def _details(title: str, inside: str) -> str:
    return f"<details><summary>{title}</summary>{inside}</details>"


def _short(identity: str) -> str:
    return identity if len(identity) <= _SHOWN_HASH else f"{identity[:_SHOWN_HASH]}…"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def clock(seconds: float) -> str:
    """A time as players show it: ``0:07``, ``11:02``, ``1:02:33``, with tenths where there are some."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    second, tenth = divmod(rest, 10)
    whole = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{whole}:{second:02d}" + (f".{tenth}" if tenth else "")
