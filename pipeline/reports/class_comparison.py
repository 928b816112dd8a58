"""Compares runs class by class: F1 of audio and of the visual stream, differences, and the mean over classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from pipeline.metrics.classwise import Level
from pipeline.metrics.counts import Floats
from pipeline.reports.evaluation import Decided
from pipeline.reports.svg import COLOURS, GREY, line, page, rectangle, text

STREAMS = {"audio": "A", "visual": "V"}
AVERAGE = "class average"
_LEFT, _TOP, _PANEL, _NAMES = 80, 64, 170, 118
_BAR, _GROUP_GAP, _FEW = 13, 14, 2


@dataclass(frozen=True, eq=False)
class ClassScores:
    """F1 by class of several runs on the same videos, in percent; NaN where a class is nowhere predicted or true.

    Attributes:
        classes: names, and :data:`AVERAGE` last.
        videos: of each class: in how many it is true in either modality; of all together last.
        scores: by level, modality and run: ``[classes]``, and last the mean over classes that have a score.
    """

    classes: tuple[str, ...]
    videos: tuple[int, ...]
    scores: Mapping[Level, Mapping[str, Mapping[str, Floats]]]

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``null`` for NaN."""
        found = dict[str, Any]()
        for level, streams in self.scores.items():
            found[level] = {
                stream: {run: _plain(values) for run, values in runs.items()} for stream, runs in streams.items()
            }
        return {"names": list(self.classes), "videos": list(self.videos), **found}


def class_scores(runs: Mapping[str, Decided]) -> ClassScores:
    """Score runs by class.

    Args:
        runs: decisions by the name of the run, all on the same videos.

    Source: LEAP (Zhou et al., ECCV 2024), figure 3, at event level; averages as in
    :func:`pipeline.metrics.classwise.class_table`.
    """
    truth = next(iter(runs.values())).truth
    true = truth.audio.any(axis=1) | truth.visual.any(axis=1)
    scores = dict[Level, dict[str, dict[str, Floats]]]()
    for level in reversed(get_args(Level)):
        tables = {name: one.classes(level) for name, one in runs.items()}
        scores[level] = {
            stream: {name: _with_average(getattr(table, stream)) for name, table in tables.items()}
            for stream in STREAMS
        }
    videos = (*(int(number) for number in true.sum(axis=0)), len(truth))
    return ClassScores((*truth.dataset.classes, AVERAGE), videos, scores)


def class_tables(found: ClassScores) -> Iterator[tuple[Level, str]]:
    """A Markdown table a level: each run's F1 by class and modality, and the differences to the first run."""
    for level, streams in found.scores.items():
        columns: dict[str, Sequence[str]] = {"videos": [str(number) for number in found.videos]}
        for stream, short in STREAMS.items():
            (first, base), *others = streams[stream].items()
            columns |= {f"{short} {first}": [_cell(value) for value in base]}
            for name, values in others:
                delta = f"{short} Δ" if len(others) == 1 else f"{short} Δ {name}"
                columns |= {f"{short} {name}": [_cell(value) for value in values],
                            delta: [_cell(value, signed=True) for value in values - base]}  # fmt: skip
        lines = [f"| {level} level | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for row, name in enumerate(found.classes):
            lines.append(f"| {name} | {' | '.join(cells[row] for cells in columns.values())} |")
        yield level, "\n".join(lines) + "\n"


def bars_svg(found: ClassScores, *, level: Level = "event") -> str:
    """A panel a modality with a group of bars for each class, and over it what the second of two runs gains."""
    runs = list(found.scores[level]["audio"])
    step = _BAR * max(len(runs), 2) + _GROUP_GAP
    body, x = "", float(_LEFT)
    for number, name in enumerate(runs):
        colour = COLOURS[(number + 1) % len(COLOURS)]
        body += rectangle(x, 14, 12, 12, colour) + text(x + 17, 25, name)
        x += 40 + 7.2 * len(name)
    height = 0.0
    for panel, (stream, values) in enumerate(found.scores[level].items()):
        top = _TOP + panel * (_PANEL + _NAMES + 42)
        body += text(_LEFT, top - 14, f"{stream}, {level}-level F1 (%)", bold=True)
        body += _panel(found.classes, list(values.values()), top=top, step=step)
        height = top + _PANEL + _NAMES
    return page(max(_LEFT + step * len(found.classes) + 20, x), height, body)


def _panel(classes: Sequence[str], values: Sequence[Floats], *, top: float, step: float) -> str:
    base, right = top + _PANEL, _LEFT + step * len(classes)
    body = ""
    for percent in range(0, 101, 20):
        y = base - percent / 100 * _PANEL
        body += line(_LEFT, y, right, y) + text(_LEFT - 6, y + 4, str(percent), size=11, anchor="end", colour=GREY)
    for place, name in enumerate(classes):
        left = _LEFT + place * step + _GROUP_GAP / 2
        group = [float(one[place]) for one in values]
        for number, score in enumerate(group):
            if not np.isnan(score):
                tall = score / 100 * _PANEL
                colour = COLOURS[(number + 1) % len(COLOURS)]
                body += rectangle(left + number * _BAR, base - tall, _BAR - 1, tall, colour, title=f"{score:.2f}")
        middle = left + _BAR * len(group) / 2
        if len(group) == _FEW and not np.isnan(group).any():
            gain = f"{group[1] - group[0]:+.1f}"
            body += text(middle, base - max(group) / 100 * _PANEL - 4, gain, size=10, anchor="middle")
        shown = name.replace("_", " ")
        body += text(middle + 3, base + 12, shown, size=11, anchor="end", turned=-45, bold=name == AVERAGE)
    return body


def _with_average(values: Floats) -> Floats:
    known = values[~np.isnan(values)]
    return np.append(values, known.mean() if len(known) else np.nan)


def _cell(value: float, *, signed: bool = False) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:+.2f}" if signed else f"{value:.2f}"


def _plain(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
