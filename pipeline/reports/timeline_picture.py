"""Draws the events of a clip over time as SVG: ground truth and predictions."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.datasets.spans import true_runs

_LEFT, _WIDTH, _BAR, _GAP, _TOP = 190, 560, 14, 3, 58
_COLOURS = ("#222222", "#d1495b", "#00798c", "#edae49", "#5b5f97", "#66a182")


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


def timeline_svg(clip_id: str, tracks: Sequence[Track], dataset: DatasetDescription) -> str:
    """The picture: a row for each class and modality that any track has, a bar for each event of each track."""
    parts, y = [], _TOP
    for stream in ("audio", "visual"):
        parts.append(f"<text x='10' y='{y + 12}' class='s'>{stream}</text>")
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


def _bars(track: Track, stream: str, label: int, number: int, y: int, dataset: DatasetDescription) -> str:
    colour, top = _COLOURS[number % len(_COLOURS)], y + number * (_BAR + _GAP)
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
        legend += f"<rect x='{x}' y='30' width='12' height='12' rx='2' fill='{_COLOURS[number % len(_COLOURS)]}'/>"
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
