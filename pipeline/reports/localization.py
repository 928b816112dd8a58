"""Scores event localization: tables, intervals and classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from pipeline.datasets.ave import EventLabels
from pipeline.datasets.clip_labels import named_once
from pipeline.metrics.bootstrap import Interval, mean_intervals
from pipeline.metrics.localization import (
    HEADINGS,
    Labels,
    LocalizationScores,
    baselines,
    class_accuracy,
    localization_scores,
    segment_classes,
    video_accuracy,
)
from pipeline.reports.score_tables import absent_line, score_table, write_scores
from pipeline.terminal.score_tables import show_tables
from storage.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Located:
    """Predicted classes of segments and the ground truth of the same clips.

    Attributes:
        classes: ``[videos, segments]``.
        truth: labels of the same clips.
    """

    classes: Labels
    truth: EventLabels

    def scores(self) -> LocalizationScores:
        """Of all videos."""
        return localization_scores(self.classes, self.truth.segments, background=self.truth.background)

    def baselines(self) -> dict[str, LocalizationScores]:
        """See :func:`pipeline.metrics.localization.baselines`."""
        truth = self.truth
        return baselines(truth.segments, truth.weak.argmax(axis=1), background=truth.background)

    def intervals(self) -> dict[str, Interval]:
        """The 95 % interval of the accuracy, by bootstrap over videos."""
        return mean_intervals(video_accuracy(self.classes, self.truth.segments)[:, None], ("accuracy",))


def locate(
    found: Mapping[str, NDArray[Any]], labels: EventLabels, split: str, *, threshold: float = 0.5, source: str
) -> Located:
    """Segment classes from predictions of any origin.

    Args:
        found: ``id [videos]``, ``segment [videos, segments, classes]``, and ``event [videos, segments]`` if there is
            one; see :func:`pipeline.metrics.localization.segment_classes`.
        labels: of the dataset.
        split: the ids must lie in it.
        threshold: of ``event``.
        source: for messages.

    Raises:
        InvalidInput: If an id is unknown or twice, or shapes do not fit.
    """
    truth = labels.split(split)
    known = {name: name for name in truth.ids}
    ids = named_once([str(name) for name in found["id"]], known, split=split, source=source)
    shape = (len(ids), truth.dataset.segments, len(truth.dataset.classes))
    for name, expected in (("segment", shape), ("event", shape[:2])):
        if name in found and found[name].shape != expected:
            raise InvalidInput(f"{source}: {name} is {list(found[name].shape)}, expected {list(expected)}")
        if name in found and np.isnan(found[name]).any():
            raise InvalidInput(f"{source}: {int(np.isnan(found[name]).sum())} values of {name} are NaN")
    classes = segment_classes(found["segment"], found.get("event"), threshold=threshold)
    return Located(classes, truth.align(ids, asker=source))


def print_localization(
    found: Mapping[str, NDArray[Any]], labels: EventLabels, split: str, *, source: str, threshold: float,
    intervals: bool, classes: bool, json_file: Path | None, console: Console,
) -> dict[str, float]:  # fmt: skip
    """``evaluate`` for localization: print tables, write a file, and return the scores in percent."""
    located = locate(found, labels, split, threshold=threshold, source=source)
    title = f"{Path(source).name}, {split}, {len(located.truth)} videos"
    rows = {title: located.scores(), **located.baselines()}
    spread = {title: located.intervals()} if intervals else {}
    console.print(absent_line(len(labels.split(split)), len(located.truth), split), end="")
    show_tables(console, score_table({name: scores.as_dict() for name, scores in rows.items()}, HEADINGS, spread))
    if classes:
        console.print(_class_lines(located))
    if json_file is not None:
        write_scores(json_file, rows[title].as_dict(), spread.get(title))
    return rows[title].as_dict()


def _class_lines(located: Located) -> str:
    names = located.truth.dataset.classes
    counts, shares = class_accuracy(located.classes, located.truth.segments, classes=len(names))
    lines = ["| class | segments | accuracy |", "|---|---|---|"]
    for name, count, share in zip(names, counts, shares, strict=True):
        lines.append(f"| {name} | {count} | {'-' if np.isnan(share) else f'{share:.2f}'} |")
    return "\n".join(lines) + "\n"
