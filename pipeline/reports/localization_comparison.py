"""Compares localization runs: a table of scores and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.datasets.ave import EventLabels, load_events
from pipeline.metrics.bootstrap import Interval, mean_intervals
from pipeline.metrics.localization import HEADINGS, video_accuracy
from pipeline.reports.comparison import PAIRED, ComparisonOutput, interval_cell
from pipeline.reports.evaluation import read_predictions
from pipeline.reports.localization import Located, locate
from pipeline.reports.score_tables import score_table, write_json
from pipeline.reports.shared_videos import by_name, predictions_of, shared_ids
from pipeline.terminal.console import count, wide_console
from pipeline.terminal.score_tables import show_tables
from pipeline.training.run_folder import recipe_of
from storage.errors import InvalidInput


def is_localization(run: Path) -> bool:
    """Whether a run's folder is of localization; a predictions file is taken for one of parsing."""
    return run.is_dir() and recipe_of(run).task == "localization"


def compare_localization(
    runs: Sequence[Path], labels: EventLabels, split: str
) -> tuple[dict[str, Located], dict[str, Interval]]:
    """Score runs on the videos that all of them have predictions for.

    Args:
        runs: their folders.
        labels: of the dataset.
        split: whose predictions to read.

    Returns:
        Classes and truth by run, and the accuracy of each but the first minus the first's.

    Raises:
        InvalidInput: If a run has no predictions, two have the same name, or they share no video.
    """
    found = by_name(runs, lambda run: _predictions(run, labels, split))
    shared = shared_ids([one.truth.ids for one in found.values()], split)
    kept = {name: _on(one, shared) for name, one in found.items()}
    accuracy = {name: video_accuracy(one.classes, one.truth.segments) for name, one in kept.items()}
    base = next(iter(accuracy.values()))
    differences = {
        name: mean_intervals((values - base)[:, None], ("accuracy",))["accuracy"]
        for name, values in list(accuracy.items())[1:]
    }
    return kept, differences


def print_localization_comparison(
    runs: Sequence[Path], *, annotations: str, dataset: str, split: str, subset: str | None, store_url: str | None,
    output: ComparisonOutput,
) -> None:  # fmt: skip
    """``avvp compare`` for localization."""
    if subset or output.picture or output.classes or output.bars or output.overlap:
        raise InvalidInput(
            "compare: --subset, --overlap, --picture, --classes and --bars are for parsing; these are runs of "
            "localization"
        )
    if store_url:
        raise InvalidInput("compare: --store is for imported checkpoints; these are runs of localization")
    if strange := [run for run in runs if not is_localization(run)]:
        raise InvalidInput(f"compare: {strange[0]} is no run of localization, {runs[0]} is. Compare runs of one task")
    kept, differences = compare_localization(runs, load_events(annotations, dataset=dataset), split)
    first, console = next(iter(kept.values())), wide_console()
    rows = {name: one.scores() for name, one in kept.items()} | first.baselines()
    console.print(f"{split}: {count(len(first.truth), 'video')}\n")
    show_tables(console, score_table({name: scores.as_dict() for name, scores in rows.items()}, HEADINGS, {}))
    for name, found in differences.items():
        console.print(f"{name} minus {next(iter(kept))}: accuracy {interval_cell(found)}")
    if differences:
        console.print(PAIRED)
    if output.json_file is not None:
        body = {"split": split, "videos": len(first.truth), "scores": {n: one.as_dict() for n, one in rows.items()},
                "differences": {name: vars(found) for name, found in differences.items()}}  # fmt: skip
        write_json(output.json_file, body)


def _predictions(run: Path, labels: EventLabels, split: str) -> Located:
    found = read_predictions(predictions_of(run, split), required=("id", "segment"))
    return locate(found, labels, split, threshold=recipe_of(run).evaluate.threshold, source=str(run))


def _on(one: Located, ids: Sequence[str]) -> Located:
    row_of = {name: row for row, name in enumerate(one.truth.ids)}
    return Located(one.classes[[row_of[name] for name in ids]], one.truth.align(ids, asker="compare"))
