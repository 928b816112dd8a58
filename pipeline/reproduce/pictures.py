"""Draws the pictures of an item from its rows' first runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from pipeline.datasets.llp import Annotations
from pipeline.reports.class_comparison import bars_svg, class_scores
from pipeline.reports.evaluation import Decided
from pipeline.reports.shared_videos import decided_run, shared_ids
from pipeline.reports.svg import write_svg
from pipeline.reproduce.item import Item
from pipeline.reproduce.measures import SPLIT
from pipeline.reproduce.request import Request
from pipeline.reproduce.runs import PlannedRun
from storage.store import FeatureStore

_CLIPS = 3


def draw(
    name: str, item: Item, plan: Mapping[str, Sequence[PlannedRun]], request: Request, labels: Annotations,
    console: Console,
) -> list[str]:  # fmt: skip
    """Write an item's pictures into ``out/NAME``.

    Args:
        name: of the item.
        item: with a picture.
        plan: finished runs by row.
        request: where to, and of which clips.
        labels: of the dataset.
        console: is told of files.

    Returns:
        Facts for the table's end: where the pictures are.

    Raises:
        InvalidInput: If a clip is not there, or a run's model has nothing of the kind.
    """
    folder, runs = request.out / name, {row: found[0].folder for row, found in plan.items()}
    if item.picture in ("co_occurrence", "class_vectors"):
        from pipeline.reports.class_vectors import write_class_vectors

        for row, run in runs.items():
            write_class_vectors(run, labels, SPLIT, folder / _safe(row), picture=item.picture)
        return [f"pictures: {folder}"]
    decided = _together({row: decided_run(run, labels, SPLIT, None) for row, run in runs.items()})
    if item.picture == "bars":
        write_svg(folder / "classes.svg", bars_svg(class_scores(decided)))
    elif item.picture == "timelines":
        from pipeline.reports.timelines import write_timelines

        store = FeatureStore.open(request.store_url)
        write_timelines(decided, _clips(request, decided), folder, split=SPLIT, store=store, console=console)
    else:
        from pipeline.reports.chosen_clips import chosen_clips
        from pipeline.reports.label_attention import write_attention

        some = next(iter(decided.values()))
        clips = chosen_clips(_clips(request, decided), some.ids, split=SPLIT)
        for row, run in runs.items():
            write_attention(run, labels, SPLIT, clips, folder / _safe(row))
    return [f"pictures: {folder}"]


def _together(runs: Mapping[str, Decided]) -> dict[str, Decided]:
    ids = shared_ids([one.ids for one in runs.values()], SPLIT)
    return {row: one.on(ids) for row, one in runs.items()}


def _clips(request: Request, decided: Mapping[str, Decided]) -> Sequence[str]:
    """Those that the user names, or those with most events at once, the first of equals."""
    if request.clips:
        return request.clips
    some = next(iter(decided.values()))
    events = some.truth.audio.sum(axis=(1, 2)) + some.truth.visual.sum(axis=(1, 2))
    several = (some.truth.audio.sum(axis=2) > 1).sum(axis=1) + (some.truth.visual.sum(axis=2) > 1).sum(axis=1)
    order = np.lexsort((-events, -several))
    return [some.ids[row] for row in order[:_CLIPS]]


def _safe(row: str) -> Path:
    """A folder's name of a row's."""
    return Path("".join(letter if letter.isalnum() or letter in "+-" else "-" for letter in row))
