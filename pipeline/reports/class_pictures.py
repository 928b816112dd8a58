"""Draws classes by classes in colours, and points of classes in two dimensions."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.reports.svg import GREY, image, page, text

_CELL, _LEFT, _TOP, _GAP, _NAMES = 13, 160, 60, 40, 150
_PANEL = 380
_RADIUS = 2.2
_BRIGHT = np.array((84, 39, 143))

Numbers = NDArray[np.floating[Any]]


def co_occurrence_svg(classes: Sequence[str], attention: Mapping[str, Numbers], together: Mapping[str, Numbers]) -> str:
    """A row for each pair of streams: attention of a model on the left, true co-occurrence on the right.

    The colours of a map reach from its lowest to its largest value beside the diagonal, which its title tells.

    Args:
        classes: names.
        attention: by pair of streams, ``[classes, classes]``; rows ask.
        together: likewise.
    """
    side = len(classes) * _CELL
    body = text(10, 24, "Which classes go together: rows ask columns", size=15, bold=True)
    for number, pair in enumerate(attention):
        top = _TOP + number * (side + _NAMES + _GAP)
        asks, answers = pair.split("_")
        for column, (what, maps) in enumerate((("attention", attention), ("true co-occurrence", together))):
            left = _LEFT + column * (side + _GAP + _LEFT - 20)
            values = maps[pair]
            others = values[~np.eye(len(classes), dtype=bool)]
            lowest, largest = float(others.min()), float(others.max())
            body += text(left, top - 8, f"{asks} to {answers}: {what}, {lowest:.2g} to {largest:.2g}", bold=True)
            shades = np.clip((values - lowest) / ((largest - lowest) or 1.0), 0, 1)[..., None]
            body += image(left, top, side, side, (255 + shades * (_BRIGHT - 255)).astype(np.uint8))
            for at, name in enumerate(classes):
                words, middle = name.replace("_", " "), at * _CELL + _CELL - 3
                body += text(left - 5, top + middle, words, size=10, anchor="end", colour=GREY)
                body += text(left + middle - 3, top + side + 8, words, size=10, colour=GREY, turned=60)
    width = _LEFT + 2 * side + _GAP + _LEFT + 60
    return page(width, _TOP + len(attention) * (side + _NAMES + _GAP), body)


def scatter_svg(
    classes: Sequence[str], panels: Mapping[str, tuple[NDArray[np.float32], NDArray[np.intp]]]
) -> str:  # fmt: skip
    """Panels of points, two in a row, one colour a class.

    Args:
        classes: names.
        panels: by title: points ``[points, 2]`` and the class of each.
    """
    colours, body = class_colours(len(classes)), ""
    for number, (title, (points, labels)) in enumerate(panels.items()):
        left, top = 20 + (number % 2) * (_PANEL + 30), 30 + (number // 2) * (_PANEL + 50)
        body += text(left, top - 8, f"{title}, {len(points)} points", bold=True)
        body += f"<rect x='{left}' y='{top}' width='{_PANEL}' height='{_PANEL}' fill='none' stroke='#ddd'/>"
        lowest, highest = points.min(axis=0), points.max(axis=0)
        places = (points - lowest) / np.maximum(highest - lowest, 1e-9) * (_PANEL - 16) + 8
        for (x, y), label in zip(places, labels, strict=True):
            body += f"<circle cx='{left + x:.1f}' cy='{top + y:.1f}' r='{_RADIUS}' fill='{colours[label]}'/>"
    left, rows = 20 + 2 * (_PANEL + 30), -(-len(panels) // 2)
    for at, name in enumerate(classes):
        y = 42 + 18 * at
        body += f"<circle cx='{left + 6}' cy='{y - 4}' r='5' fill='{colours[at]}'/>"
        body += text(left + 18, y, name.replace("_", " "))
    return page(left + 190, max(30 + rows * (_PANEL + 50), 60 + 18 * len(classes)), body)


def class_colours(count: int) -> list[str]:
    """Colours that differ in hue, and neighbours in brightness too."""
    found = []
    for number in range(count):
        red, green, blue = colorsys.hls_to_rgb(number / count, 0.38 if number % 2 else 0.58, 0.75)
        found.append(f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}")
    return found
