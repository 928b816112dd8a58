"""Compares runs: a table of scores, paired differences with bootstrap intervals, and F1 by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.datasets.llp import Annotations, load_annotations
from pipeline.metrics.bootstrap import Interval, paired_bootstrap
from pipeline.metrics.parsing import HEADINGS, ParsingScores, nothing_predicted
from pipeline.reports.class_comparison import ClassScores, bars_svg, class_scores, class_tables
from pipeline.reports.evaluation import Decided, markdown
from pipeline.reports.overlap_table import print_overlap
from pipeline.reports.score_tables import write_json
from pipeline.reports.shared_videos import decided_together
from pipeline.reports.svg import write_svg
from pipeline.reports.timeline_picture import Track, write_timeline
from pipeline.terminal.console import count, wide_console
from pipeline.terminal.score_tables import show_tables
from storage.errors import InvalidInput

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


@dataclass(frozen=True)
class ComparisonOutput:
    """What ``avvp compare`` is asked to show and to write beside its tables.

    Attributes:
        classes: F1 by class.
        bars: a picture of it.
        overlap: a name of :data:`pipeline.reports.overlap_table.READINGS`, or ``every`` for all scores in all readings.
        picture: ``CLIP=FILE.svg``, a timeline.
        json_file: for all that is printed.
    """

    classes: bool = False
    bars: Path | None = None
    overlap: str | None = None
    picture: str | None = None
    json_file: Path | None = None


def compare_runs(
    runs: Sequence[Path], annotations: Annotations, split: str, *, subset: str | None = None,
    store_url: str | None = None,
) -> tuple[dict[str, ParsingScores], list[Difference], Annotations]:  # fmt: skip
    """Score runs on the videos that all of them have predictions for.

    Args:
        runs: see :func:`pipeline.reports.shared_videos.decided_together`, as all that follow.
        annotations: of the dataset.
        split: whose predictions to read.
        subset: of the videos.
        store_url: to predict imported checkpoints from.

    Returns:
        Scores by run, differences to the first, and the annotations of these videos.

    Raises:
        InvalidInput: If a run has no predictions, the runs share no video, or the subset is unknown or empty.
    """
    found = decided_together(runs, annotations, split, subset=subset, store_url=store_url)
    return *_scores(found), next(iter(found.values())).truth


def _scores(found: Mapping[str, Decided]) -> tuple[dict[str, ParsingScores], list[Difference]]:
    videos = {name: one.scores() for name, one in found.items()}
    first = next(iter(videos.values()))
    others = [Difference(name, paired_bootstrap(one, first)) for name, one in list(videos.items())[1:]]
    return {name: one.mean() for name, one in videos.items()}, others


def interval_cell(found: Interval) -> str:
    """A difference and its interval."""
    return f"{found.estimate:+.2f} [{found.low:+.1f}, {found.high:+.1f}]"


def difference_table(first: str, differences: Sequence[Difference]) -> str:
    """Differences with 95 % intervals, percent points."""
    lines = [f"| minus {first} | {' | '.join(HEADINGS.values())} |", "|---" * (len(HEADINGS) + 1) + "|"]
    for one in differences:
        cells = [interval_cell(found) for found in one.intervals.values()]
        lines.append(f"| {one.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def print_comparison(
    runs: Sequence[Path], *, annotations: str, dataset: str, split: str, subset: str | None, store_url: str | None,
    output: ComparisonOutput,
) -> None:  # fmt: skip
    """``avvp compare``."""
    labelled = load_annotations(annotations, dataset=dataset)
    found = decided_together(runs, labelled, split, subset=subset, store_url=store_url)
    (scores, differences), truth = _scores(found), next(iter(found.values())).truth
    console = wide_console()
    console.print(f"{split}{', ' + subset if subset else ''}: {count(len(truth), 'video')}\n")
    show_tables(console, markdown({**scores, "nothing predicted": nothing_predicted(truth.audio, truth.visual)}))
    if differences:
        show_tables(console, difference_table(next(iter(scores)), differences))
        console.print(PAIRED)
    body: dict[str, Any] = {
        "split": split, "subset": subset, "videos": len(truth),
        "scores": {name: one.as_dict() for name, one in scores.items()},
        "differences": {one.name: {key: vars(part) for key, part in one.intervals.items()} for one in differences},
    }  # fmt: skip
    if output.classes or output.bars is not None:
        by_class = class_scores(found)
        body["classes"] = by_class.to_json()
        _show_classes(console, by_class, output)
    if output.overlap:
        body["overlap"] = _show_overlap(console, found, output.overlap)
    if output.picture:
        _draw(output.picture, found, split)
        console.print(f"the timeline: {output.picture.partition('=')[2]}")
    if output.json_file is not None:
        write_json(output.json_file, body)


def _show_classes(console: Console, found: ClassScores, output: ComparisonOutput) -> None:
    if output.classes:
        for _, table in class_tables(found):
            show_tables(console, table)
        console.print(
            "F1 (%) by class: mean over the videos where it is predicted or true; the average is over classes. "
            "videos: where it is true"
        )
    if output.bars is not None:
        write_svg(output.bars, bars_svg(found))
        console.print(f"the bars: {output.bars}")


def _show_overlap(console: Console, found: Mapping[str, Decided], overlap: str) -> dict[str, Any]:
    if overlap != "every":
        return print_overlap(console, found, overlap)
    subsets = {f"{run}, {name}, {count} videos": scores for run, one in found.items()
               for name, (count, scores) in one.subsets().items()}  # fmt: skip
    show_tables(console, markdown(subsets))
    return {name: scores.as_dict() for name, scores in subsets.items()}


def _draw(picture: str, found: Mapping[str, Decided], split: str) -> None:
    clip, _, file = picture.partition("=")
    first = next(iter(found.values()))
    rows = [row for row, name in enumerate(first.ids) if name.startswith(clip)]
    if not rows or not file:
        raise InvalidInput(f"--picture {picture}: expected CLIP=FILE.svg with a clip of {split}, e.g. {first.ids[0]}")
    row = rows[0]
    tracks = [Track("truth", first.truth.audio[row], first.truth.visual[row])]
    tracks += [Track(title, one.audio[row], one.visual[row]) for title, one in found.items()]
    write_timeline(Path(file), first.ids[row], tracks, first.truth.dataset)
