"""Renders a parsed video as one HTML file that needs no network: player, time line, tables, and what to doubt."""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.resources
import os
from pathlib import Path
from urllib.parse import quote

from pipeline.datasets.clip_preview import Preview
from pipeline.parsing.formats.fields import SIGN
from pipeline.parsing.page import sections
from pipeline.parsing.page.page_data import page_json
from pipeline.parsing.parsed_video import ParsedVideo
from pipeline.parsing.truth import Truth

_STYLES = ("page.css", "timeline.css")
_SCRIPTS = ("model.js", "drawing.js", "timeline.js", "player.js")
"""In the order in which the page runs them."""
_LEGEND = (
    ("heard", "heard"),
    ("seen", "seen"),
    ("both", "heard and seen at once"),
    ("idle", "probability below the threshold"),
)


def media_url(video: str | os.PathLike[str], page: str | os.PathLike[str]) -> str:
    """The URL of a video relative to the page that shows it, percent-encoded."""
    there = os.path.relpath(os.path.abspath(video), Path(os.path.abspath(page)).parent)
    return quote(os.fsencode(Path(there).as_posix()))


def parsed_page(video: ParsedVideo, *, preview: Preview | None, media: str, truth: Truth | None) -> str:
    """The page of a parsed video.

    Args:
        video: what to show.
        preview: pictures and the sound's envelope; the page goes without where there are none.
        media: URL of the file relative to the page, percent-encoded; see :func:`media_url`.
        truth: annotations to draw beside the events.
    """
    style = _together(_STYLES)
    script = _together(_SCRIPTS)
    body = (
        sections.warning(video.model)
        + f"<main>{sections.header(video)}{sections.notes(video, truth)}"
        + f"{_player(video, media, preview)}{_timeline(video, truth)}"
        + f"<div class=columns>{sections.scores_table(truth)}{sections.limits(video)}</div>"
        + f"<footer><p>{SIGN}. This file works offline; keep it beside its video.</p><p class=keys>"
        + "<kbd>space</kbd> play <kbd>←</kbd> <kbd>→</kbd> by second <kbd>+</kbd> <kbd>−</kbd> zoom</p></footer></main>"
    )
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv=Content-Security-Policy content="{_policy(style, script)}">'
        "<meta name=viewport content='width=device-width,initial-scale=1'><meta name=referrer content=no-referrer>"
        "<meta name=color-scheme content='light dark'><link rel=icon href='data:,'>"
        f"<title>{sections.text(video.path.name)}: parsed</title><style>{style}</style></head><body>{body}"
        f"<script type=application/json id=data>{page_json(video, preview=preview, truth=truth)}</script>"
        f"<script>{script}</script></body></html>\n"
    )


def _together(names: tuple[str, ...]) -> str:
    folder = importlib.resources.files("pipeline.parsing.page")
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _policy(style: str, script: str) -> str:
    """Nothing but this page's own style and script, pictures inside it, and the video beside it."""
    return (
        f"default-src 'none'; img-src data:; media-src 'self' file:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def _digest(source: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"


def _player(video: ParsedVideo, media: str, preview: Preview | None) -> str:
    seen = "visual" in video.probabilities or (preview is not None and bool(preview.thumbnails))
    kind = "picture" if seen else "sound"
    return (
        f"<section class='card player'><div class='screen {kind}'>"
        f'<video id=video src="{html.escape(media, quote=True)}" controls preload=metadata playsinline></video>'
        "<p id=missing hidden>The video cannot be played: it is not beside this page any more, or this browser "
        "does not know its format. The time line works without it."
        "</p></div><div class=beside><div class=now><output id=time>0:00</output><ul id=now></ul></div>"
        f"{sections.events_table(video)}</div></section>"
    )


def _timeline(video: ParsedVideo, truth: Truth | None) -> str:
    marks = [*_LEGEND, *([("truth", "annotated")] if truth is not None and truth.grids else [])]
    legend = "".join(f"<li><i class='mark {name}'></i>{words}</li>" for name, words in marks)
    return (
        f"<section class='card timeline'><div class=tools><ul class=legend>{legend}</ul><div class=controls>"
        f"<label class=switch><input type=checkbox id=all><span></span>Show all {len(video.classes)} classes</label>"
        "<div class=zoom role=group aria-label=Zoom><button type=button id=fit>Fit</button>"
        "<button type=button id=out aria-label='Zoom out'>−</button>"
        "<button type=button id=in aria-label='Zoom in'>+</button></div></div></div>"
        "<noscript><p class=empty>The time line needs JavaScript. The table below does not.</p></noscript>"
        "<div id=scroller tabindex=0 aria-label='Time line'><div id=tracks></div></div></section>"
        "<div id=hint role=tooltip hidden></div>"
    )
