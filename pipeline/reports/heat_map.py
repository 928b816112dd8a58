"""Draws classes by segments in colours: attention scores around zero, and probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.reports.svg import GREY, page, rectangle, text

_LEFT, _TOP, _CELL_WIDTH, _CELL_HEIGHT = 150, 92, 20, 14
_GAP, _BETWEEN, _BAR_STEPS, _LEAST_WIDTH = 26, 62, 20, 830
_COLD, _MIDDLE, _HOT = (33, 102, 172), (247, 247, 247), (178, 24, 43)
_DARK, _BRIGHT = (255, 255, 255), (84, 39, 143)

Numbers = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


def attention_svg(
    clip: str, classes: Sequence[str], scores: Mapping[str, Numbers], probability: Mapping[str, Numbers],
    truth: Mapping[str, Bools],
) -> str:  # fmt: skip
    """A row a modality: a heat map of each block's scores, averaged over heads, and one of the probabilities.

    The colours of a map of scores reach to its own largest magnitude, which its title tells.

    Args:
        clip: for the title.
        classes: names.
        scores: by modality ``[blocks, heads, classes, segments]``.
        probability: by modality ``[classes, segments]``.
        truth: likewise; these cells have a frame.
    """
    means = {stream: values.mean(axis=1) for stream, values in scores.items()}
    blocks, _, segments = next(iter(means.values())).shape
    step = segments * _CELL_WIDTH + _GAP
    body = text(10, 24, clip, size=15, bold=True) + _legend()
    for row, (stream, values) in enumerate(means.items()):
        top = _TOP + row * (len(classes) * _CELL_HEIGHT + _BETWEEN)
        body += text(10, top - 10, stream, size=13, bold=True) + _names(classes, truth[stream], top)
        for number, block in enumerate(values, start=1):
            left = _LEFT + (number - 1) * step
            largest = float(np.abs(block).max()) or 1.0
            body += text(left, top - 10, f"block {number}: scores A, ±{largest:.2g}", colour=GREY)
            body += _map(block / largest, truth[stream], left, top, signed=True)
        left = _LEFT + blocks * step
        body += text(left, top - 10, "probabilities P", colour=GREY)
        body += _map(probability[stream], truth[stream], left, top, signed=False)
    height = _TOP + len(means) * (len(classes) * _CELL_HEIGHT + _BETWEEN) - 20
    return page(max(_LEFT + (blocks + 1) * step, _LEAST_WIDTH), height, body)


def _names(classes: Sequence[str], truth: Bools, top: float) -> str:
    return "".join(
        text(_LEFT - 8, top + row * _CELL_HEIGHT + 11, name.replace("_", " "), size=11, anchor="end",
             bold=bool(truth[row].any()))
        for row, name in enumerate(classes)
    )  # fmt: skip


def _map(values: Numbers, truth: Bools, left: float, top: float, *, signed: bool) -> str:
    body = ""
    for row, column in np.ndindex(values.shape):
        x, y = left + column * _CELL_WIDTH, top + row * _CELL_HEIGHT
        body += rectangle(x, y, _CELL_WIDTH, _CELL_HEIGHT, _colour(float(values[row, column]), signed=signed))
    for row, column in np.argwhere(truth):
        x, y = left + column * _CELL_WIDTH, top + row * _CELL_HEIGHT
        body += (
            f"<rect x='{x + 0.5:.1f}' y='{y + 0.5:.1f}' width='{_CELL_WIDTH - 1}' height='{_CELL_HEIGHT - 1}' "
            "fill='none' stroke='#222'/>"
        )
    bottom = top + len(values) * _CELL_HEIGHT
    ends = ((0, "0"), (values.shape[1], str(values.shape[1])))
    marks = "".join(text(left + at * _CELL_WIDTH, bottom + 13, f"{words}", size=10, anchor="middle", colour=GREY)
                    for at, words in ends)  # fmt: skip
    middle = text(left + values.shape[1] * _CELL_WIDTH / 2, bottom + 13, "segments", size=10, anchor="middle",
                  colour=GREY)  # fmt: skip
    frame = (
        f"<rect x='{left:.1f}' y='{top:.1f}' width='{values.shape[1] * _CELL_WIDTH}' "
        f"height='{len(values) * _CELL_HEIGHT}' fill='none' stroke='#bbb'/>"
    )
    return body + frame + marks + middle


def _legend() -> str:
    body, each = "", 6
    for words, left, signed, last in (("scores, to the largest of their map  −", _LEFT, True, "+"),
                                      ("probabilities  0", _LEFT + 370, False, "1")):  # fmt: skip
        start = left + 5.7 * len(words)
        body += text(start - 6, 54, words, size=11, anchor="end", colour=GREY)
        for step in range(_BAR_STEPS):
            share = step / (_BAR_STEPS - 1)
            colour = _colour(2 * share - 1 if signed else share, signed=signed)
            body += rectangle(start + step * each, 44, each + 0.5, 12, colour)
        body += text(start + _BAR_STEPS * each + 6, 54, last, size=11, colour=GREY)
    frame = f"<rect x='{_LEFT + 610}' y='44' width='16' height='12' fill='none' stroke='#222'/>"
    return body + frame + text(_LEFT + 632, 54, "true", size=11, colour=GREY)


def _colour(value: float, *, signed: bool) -> str:
    """Blue below zero, red above it; or white to violet from 0 to 1."""
    ends = (_MIDDLE, _HOT if value > 0 else _COLD) if signed else (_DARK, _BRIGHT)
    share = min(abs(value), 1.0)
    red, green, blue = (round(low + (high - low) * share) for low, high in zip(*ends, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"
