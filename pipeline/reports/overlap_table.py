"""LEAP's table of videos with and without overlapping events: the five event scores and their mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from pipeline.metrics.parsing import ParsingScores
from pipeline.metrics.subsets import Overlap, overlapping
from pipeline.reports.evaluation import Decided
from pipeline.reports.score_tables import score_table
from pipeline.terminal.score_tables import show_tables

HEADINGS: Mapping[str, str] = {
    "ev_a": "A", "ev_v": "V", "ev_av": "AV", "ev_type": "Type", "ev_event": "Event", "average": "Avg",
}  # fmt: skip
"""Headings of the table; ``average`` is the mean of the five before it, not of all ten scores."""

READINGS: Mapping[str, Overlap] = {"modality": "either_modality", "union": "union_of_modalities"}
"""The readings that the command offers, by their names there."""


@dataclass(frozen=True)
class Subset:
    """One of the two subsets.

    Attributes:
        name: ``overlapping`` or ``non-overlapping``.
        videos: how many.
        scores: by run and by name of :data:`HEADINGS`, in percent; empty if it has no video.
    """

    name: str
    videos: int
    scores: Mapping[str, Mapping[str, float]]


def overlap_subsets(runs: Mapping[str, Decided], *, reading: Overlap = "either_modality") -> tuple[Subset, Subset]:
    """Score runs on the two subsets.

    Args:
        runs: decisions by the name of the run, all on the same videos.
        reading: see :func:`pipeline.metrics.subsets.overlapping`; the paper does not say which.

    Source: LEAP (Zhou et al., ECCV 2024), table 3.
    """
    truth = next(iter(runs.values())).truth
    rows = overlapping(truth.audio, truth.visual, reading=reading)
    found = []
    for name, chosen in (("overlapping", rows), ("non-overlapping", ~rows)):
        videos = int(chosen.sum())
        scores = {run: event_scores(one.scores().select(chosen).mean()) for run, one in runs.items()} if videos else {}
        found.append(Subset(name, videos, scores))
    return found[0], found[1]


def event_scores(scores: ParsingScores) -> dict[str, float]:
    """The five event scores, and as ``average`` their mean."""
    five = {name: getattr(scores, name) for name in HEADINGS if name != "average"}
    return {**five, "average": float(np.mean(list(five.values())))}


def overlap_table(subsets: tuple[Subset, Subset]) -> str:
    """A Markdown table: a row for each run and subset."""
    rows = {f"{run}, {one.videos} {one.name}": scores for one in subsets for run, scores in one.scores.items()}
    return score_table(rows, HEADINGS, {})


def print_overlap(console: Console, runs: Mapping[str, Decided], name: str) -> dict[str, Any]:
    """Print the table of a reading in :data:`READINGS`, and return it as plain data."""
    subsets = overlap_subsets(runs, reading=READINGS[name])
    show_tables(console, overlap_table(subsets))
    where = "inside a modality" if name == "modality" else "in the union of both modalities"
    console.print(f"event level; overlapping: several classes in a segment {where}; Avg: the mean of the five")
    return {"reading": READINGS[name], **{one.name: {"videos": one.videos, "scores": one.scores} for one in subsets}}
