"""Draws a clip over time as SVG: what it looks and sounds like, the true events and the predicted ones."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.clip_preview import Preview
from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.datasets.spans import true_runs
from pipeline.reports.svg import COLOURS, image

_LEFT, _WIDTH, _BAR, _GAP, _TOP = 190, 560, 14, 3, 58
_FRAMES, _SOUND, _UNDER = 44, 34, 8
"""Heights of the strip of thumbnails and of the waveform, and the room below each."""
_SILENT_PEAK = 1e-4


@dataclass(frozen=True, eq=False)
class Track:
    """Events of a clip from one source.

    Attributes:
        name: for people; the first track of a picture is the truth.
        audio: ``[segments, classes]`` bool.
        visual: ``[segments, classes]`` bool.
    """

    name: str
    audio: NDArray[np.bool_]
    visual: NDArray[np.bool_]


def write_timeline(target: Path, clip_id: str, tracks: Sequence[Track], dataset: DatasetDescription) -> None:
    """Write the picture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(timeline_svg(clip_id, tracks, dataset), encoding="utf-8")


def timeline_svg(
    clip_id: str, tracks: Sequence[Track], dataset: DatasetDescription, preview: Preview | None = None
) -> str:
    """The picture: a row for each class and modality that any track has, a bar for each event of each track.

    Args:
        clip_id: the title.
        tracks: the truth first.
        dataset: whose classes and time grid they have.
        preview: of this clip: its thumbnails and its waveform are drawn above the rows.
    """
    parts, y = [_view(preview, dataset)], _TOP + (_FRAMES + _SOUND + 2 * _UNDER if preview is not None else 0)
    for stream, title in (("audio", "heard"), ("visual", "seen")):
        parts.append(f"<text x='10' y='{y + 12}' class='s'>{title}</text>")
        y += 20
        active = np.any([getattr(track, stream).any(axis=0) for track in tracks], axis=0)
        for label in np.flatnonzero(active):
            rows = "".join(_bars(track, stream, int(label), number, y, dataset) for number, track in enumerate(tracks))
            height = len(tracks) * (_BAR + _GAP)
            name = html.escape(dataset.classes[label].replace("_", " "))
            parts.append(f"<text x='{_LEFT - 10}' y='{y + height / 2 + 2}' text-anchor='end'>{name}</text>{rows}")
            y += height + 8
        if not active.any():
            parts.append(f"<text x='{_LEFT - 10}' y='{y + 8}' text-anchor='end' fill='#777'>nothing</text>")
            y += 20
        y += 8
    return _page(clip_id, tracks, dataset, "".join(parts), height=y + 30)


def _view(preview: Preview | None, dataset: DatasetDescription) -> str:
    """Thumbnails at their seconds, and the waveform below them."""
    if preview is None:
        return ""
    body, each = "", _WIDTH / dataset.clip_seconds
    for second, pixels in preview.thumbnails:
        height, width = pixels.shape[:2]
        scale = min((each - 2) / width, _FRAMES / height)
        left = _LEFT + second * each + (each - width * scale) / 2
        body += image(left, _TOP + (_FRAMES - height * scale) / 2, width * scale, height * scale, pixels, sharp=False)
    middle = _TOP + _FRAMES + _UNDER + _SOUND / 2
    known = ~np.isnan(preview.envelope).any(axis=1)
    peak = max(float(np.abs(preview.envelope[known]).max(initial=0.0)), _SILENT_PEAK)
    strokes = ""
    for step in np.flatnonzero(known):
        low, high = (middle - value / peak * _SOUND / 2 for value in preview.envelope[step].tolist())
        x = _LEFT + (step + 0.5) * preview.step_seconds * each
        strokes += f"M{x:.1f} {high - 0.3:.1f}V{low + 0.3:.1f}"
    absent = [
        f"<text x='{_LEFT}' y='{y:.0f}' fill='#777'>{words}</text>"
        for words, y, there in (("no picture", _TOP + _FRAMES / 2, preview.thumbnails),
                                ("no sound", middle + 4, known.any()))
        if not there
    ]  # fmt: skip
    return f"{body}<path d='{strokes}' stroke='#8a8f98' stroke-width='2' fill='none'/>{''.join(absent)}"


def _bars(track: Track, stream: str, label: int, number: int, y: int, dataset: DatasetDescription) -> str:
    colour, top = COLOURS[number % len(COLOURS)], y + number * (_BAR + _GAP)
    each = _WIDTH / dataset.segments
    return "".join(
        f"<rect x='{_LEFT + first * each:.1f}' y='{top}' width='{(last - first) * each:.1f}' height='{_BAR}' rx='2' "
        f"fill='{colour}'><title>{html.escape(track.name)}: {first * dataset.segment_seconds:g} to "
        f"{last * dataset.segment_seconds:g} s</title></rect>"
        for first, last in true_runs(getattr(track, stream)[:, label])
    )


def _page(clip_id: str, tracks: Sequence[Track], dataset: DatasetDescription, body: str, *, height: int) -> str:
    legend, x = "", _LEFT
    for number, track in enumerate(tracks):
        legend += f"<rect x='{x}' y='30' width='12' height='12' rx='2' fill='{COLOURS[number % len(COLOURS)]}'/>"
        legend += f"<text x='{x + 17}' y='41'>{html.escape(track.name)}</text>"
        x += 34 + 8 * len(track.name)
    grid = "".join(
        f"<line x1='{_LEFT + second / dataset.clip_seconds * _WIDTH:.1f}' y1='{_TOP}' "
        f"x2='{_LEFT + second / dataset.clip_seconds * _WIDTH:.1f}' y2='{height - 24}' stroke='#ddd'/>"
        f"<text x='{_LEFT + second / dataset.clip_seconds * _WIDTH:.1f}' y='{height - 8}' text-anchor='middle' "
        f"fill='#777'>{second} s</text>"
        for second in range(0, int(dataset.clip_seconds) + 1, max(1, int(dataset.clip_seconds) // 10))
    )
    width = max(_LEFT + _WIDTH + 30, x)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}' "
        f"font-family='system-ui,sans-serif' font-size='13'><style>.s{{font-weight:600}}</style>"
        f"<rect width='100%' height='100%' fill='white'/><text x='10' y='20' font-size='15' font-weight='600'>"
        f"{html.escape(clip_id)}</text>{legend}{grid}{body}</svg>\n"
    )
