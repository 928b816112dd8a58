"""Compares runs: a table of scores, and paired differences with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np

from pipeline.datasets.llp import Annotations, load_annotations
from pipeline.metrics.bootstrap import Interval, paired_bootstrap
from pipeline.metrics.parsing import HEADINGS, ParsingScores, VideoScores, nothing_predicted
from pipeline.metrics.subsets import Overlap, overlapping
from pipeline.reports.evaluation import Decided, decide_predictions, markdown, read_predictions, run_predictions
from pipeline.reports.timeline_picture import Track, write_timeline
from pipeline.terminal.console import count, wide_console
from pipeline.terminal.score_tables import show_tables
from pipeline.training.run_folder import is_imported, recipe_of
from pipeline.training.run_store import open_run_store
from storage.errors import InvalidInput

Loaded = TypeVar("Loaded")
PAIRED = "in brackets: 95 % intervals of a paired bootstrap over videos; one that holds 0 decides nothing"


@dataclass(frozen=True)
class Difference:
    """Difference between a run and the first one.

    Attributes:
        name: of the run.
        intervals: of its scores minus the first one's, by score.
    """

    name: str
    intervals: dict[str, Interval]


def compare_runs(
    runs: Sequence[Path], annotations: Annotations, split: str, *, subset: str | None = None,
    store_url: str | None = None,
) -> tuple[dict[str, ParsingScores], list[Difference], Annotations]:  # fmt: skip
    """Score runs on the videos that all of them have predictions for.

    Args:
        runs: their folders, or predictions files.
        annotations: of the dataset.
        split: whose predictions to read.
        subset: ``overlapping:READING`` or ``non-overlapping:READING``.
        store_url: to predict imported checkpoints from; ``None`` for their predictions, or else for the store that they
            were imported for.

    Returns:
        Scores by run, differences to the first, and the annotations of these videos.

    Raises:
        InvalidInput: If a run has no predictions, the runs share no video, or the subset is unknown or empty.
    """
    found = by_name(runs, lambda run: _decided(run, annotations, split, store_url))
    shared = shared_ids([one.ids for one in found.values()], split)
    truth = annotations.align(shared, asker="compare")
    chosen = np.flatnonzero(_subset(truth, subset))
    videos = {name: _on(one, shared).select(chosen) for name, one in found.items()}
    first = next(iter(videos.values()))
    others = [Difference(name, paired_bootstrap(one, first)) for name, one in list(videos.items())[1:]]
    kept = annotations.align([shared[row] for row in chosen], asker="compare")
    return {name: one.mean() for name, one in videos.items()}, others, kept


def by_name(runs: Sequence[Path], load: Callable[[Path], Loaded]) -> dict[str, Loaded]:
    """Result of ``load`` for each run, by the name of its folder.

    Raises:
        InvalidInput: If two have the same name.
    """
    found = {run.name: load(run) for run in runs}
    if len(found) < len(runs):
        raise InvalidInput(
            "compare: two runs have the same folder name; rename one, the table could not tell them apart"
        )
    return found


def shared_ids(ids: Sequence[Sequence[str]], split: str) -> list[str]:
    """Names that all lists contain, in the order of the first.

    Raises:
        InvalidInput: If there are none.
    """
    common = set(ids[0]).intersection(*ids[1:])
    if not common:
        raise InvalidInput(f"compare: the runs have no video of {split} in common")
    return [name for name in ids[0] if name in common]


def predictions_of(run: Path, split: str) -> Path:
    """The predictions file of a run's folder.

    Raises:
        InvalidInput: If there is none yet.
    """
    file = _predictions_file(run, split)
    if not file.is_file():
        raise InvalidInput(f"{run}: has no predictions of {split} yet; train it to the end")
    return file


def _predictions_file(run: Path, split: str) -> Path:
    return run / f"predictions-{split}.npz"


def interval_cell(found: Interval) -> str:
    """A difference and its interval."""
    return f"{found.estimate:+.2f} [{found.low:+.1f}, {found.high:+.1f}]"


def _decided(run: Path, annotations: Annotations, split: str, store_url: str | None) -> Decided:
    if run.is_file():
        return decide_predictions(read_predictions(run), annotations, split, source=str(run))
    recipe = recipe_of(run)
    if is_imported(run) and (store_url or not _predictions_file(run, split).is_file()):
        found = run_predictions(run, open_run_store(run, store_url), annotations, split)
    else:
        found = read_predictions(predictions_of(run, split))
    mask, threshold = recipe.evaluate.mask, recipe.evaluate.threshold
    return decide_predictions(found, annotations, split, mask=mask, threshold=threshold, source=str(run))


def _on(one: Decided, ids: Sequence[str]) -> VideoScores:
    row_of = {name: row for row, name in enumerate(one.ids)}
    return one.scores().select([row_of[name] for name in ids])


def _subset(truth: Annotations, subset: str | None) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if subset is None:
        return np.ones(len(truth), dtype=bool)
    kind, _, reading = subset.partition(":")
    if kind not in ("overlapping", "non-overlapping") or reading not in get_args(Overlap):
        raise InvalidInput(
            f"--subset {subset}: expected overlapping:READING or non-overlapping:READING, "
            f"READING one of {', '.join(get_args(Overlap))}"
        )
    rows = overlapping(truth.audio, truth.visual, reading=reading)  # type: ignore[arg-type]
    chosen = rows if kind == "overlapping" else ~rows
    if not chosen.any():
        raise InvalidInput(f"--subset {subset}: no video is in it")
    return chosen


def difference_table(first: str, differences: Sequence[Difference]) -> str:
    """Differences with 95 % intervals, percent points."""
    lines = [f"| minus {first} | {' | '.join(HEADINGS.values())} |", "|---" * (len(HEADINGS) + 1) + "|"]
    for one in differences:
        cells = [interval_cell(found) for found in one.intervals.values()]
        lines.append(f"| {one.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def print_comparison(
    runs: Sequence[Path], *, annotations: str, dataset: str, split: str, subset: str | None, picture: str | None,
    store_url: str | None,
) -> None:  # fmt: skip
    """``avvp compare``."""
    labelled = load_annotations(annotations, dataset=dataset)
    scores, differences, truth = compare_runs(runs, labelled, split, subset=subset, store_url=store_url)
    console = wide_console()
    console.print(f"{split}{', ' + subset if subset else ''}: {count(len(truth), 'video')}\n")
    show_tables(console, markdown({**scores, "nothing predicted": nothing_predicted(truth.audio, truth.visual)}))
    if differences:
        show_tables(console, difference_table(next(iter(scores)), differences))
        console.print(PAIRED)
    if picture:
        _draw(picture, runs, labelled, split, store_url)
        console.print(f"the timeline: {picture.partition('=')[2]}")


def _draw(picture: str, runs: Sequence[Path], annotations: Annotations, split: str, store_url: str | None) -> None:
    clip, _, file = picture.partition("=")
    found = {run.name: _decided(run, annotations, split, store_url) for run in runs}
    first = next(iter(found.values()))
    rows = [row for row, name in enumerate(first.ids) if name.startswith(clip)]
    if not rows or not file:
        raise InvalidInput(f"--picture {picture}: expected CLIP=FILE.svg with a clip of {split}, e.g. {first.ids[0]}")
    name = first.ids[rows[0]]
    tracks = [Track("truth", first.truth.audio[rows[0]], first.truth.visual[rows[0]])]
    for title, one in found.items():
        row = one.ids.index(name)
        tracks.append(Track(title, one.audio[row], one.visual[row]))
    write_timeline(Path(file), name, tracks, annotations.dataset)
