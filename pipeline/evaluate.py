"""``avvp evaluate`` or ``python -m pipeline.evaluate``: scores a run or a predictions file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

if __name__ == "__main__":  # before our own imports: a folder of the user's may hide one of our packages
    from avvp import exit_if_shadowed

    exit_if_shadowed("evaluate")

from pipeline.terminal.console import wide_console
from storage.errors import InvalidInput

if TYPE_CHECKING:
    from pipeline.reports.evaluation import Decided

MASK_NAMES = ("none", "union", "own", "mmcse")
OVERLAPS = ("modality", "union", "every")
OVERLAP_HELP = (
    "Event scores of videos with and without overlapping events, LEAP's Table 3: several classes at once inside a "
    "modality (the default), or in the union of both; every: all scores in all readings."
)


@click.command()
@click.option("--run", type=click.Path(path_type=Path), help="A run's folder: trained, or imported.")
@click.option("--predictions", help="A .npz with id, audio_segment, visual_segment, and union_video … if there is one; "
              "of localization: id, segment, and event if there is one.")  # fmt: skip
@click.option("--annotations", required=True, help="The folder with the label files of the dataset.")
@click.option("--dataset", help="A dataset description: a name or a TOML file. Default: llp, or ave for localization.")
@click.option("--split", default="test", show_default=True)
@click.option("--store", "store_url", help="Instead of the store that the run was trained on or imported for, which "
              "is also found beside the run's folder.")  # fmt: skip
@click.option("--mask", type=click.Choice(MASK_NAMES), help="Which video-level probabilities a segment needs too. "
              "Default: the run's, or union where union_video is given.")  # fmt: skip
@click.option("--threshold", type=float, help="A probability that equals it counts. Default: the run's, or 0.5.")
@click.option("--thresholds", help="A JSON file with a threshold a class: a list, or an object by class name.")
@click.option("--intervals", is_flag=True, help="95 % intervals by bootstrap over videos.")
@click.option("--classes", is_flag=True, help="F1 by class.")
@click.option("--overlap", type=click.Choice(OVERLAPS), is_flag=False, flag_value=OVERLAPS[0], help=OVERLAP_HELP)
@click.option("--picture", help="CLIP=FILE.svg: the timeline of one clip.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the scores to a file.")
def evaluate(**options: Any) -> None:
    """Score a run, or any predictions file, exactly as the published code does."""
    run_evaluation(**options)


def run_evaluation(
    *, run: Path | None, predictions: str | None, annotations: str, dataset: str | None = None, split: str = "test",
    store_url: str | None = None, mask: str | None = None, threshold: float | None = None,
    thresholds: str | None = None, intervals: bool = False, classes: bool = False, overlap: str | None = None,
    picture: str | None = None, json_file: Path | None = None,
    console: Console | None = None,
) -> dict[str, float]:  # fmt: skip
    """Print tables, write the requested files, and return the eleven scores in percent.

    Raises:
        InvalidInput: If neither or both of ``run`` and ``predictions`` are given, or they do not fit the annotations.
    """
    if (run is None) == (predictions is None):
        raise InvalidInput("evaluate: give --run RUN or --predictions FILE.npz, one of them")
    if _of_localization(run, predictions):
        _refuse({"--mask": mask, "--thresholds": thresholds, "--overlap": overlap, "--picture": picture})
        return _evaluate_localization(
            run, predictions, annotations, dataset or "ave", split, store_url, threshold,
            intervals=intervals, classes=classes, json_file=json_file, console=console or wide_console(),
        )  # fmt: skip
    decided, source, of_videos = _decided(
        run, predictions, annotations, dataset or "llp", split, store_url, mask, threshold, thresholds
    )
    return _print_parsing(
        decided, source, split, of_videos, intervals=intervals, classes=classes, overlap=overlap, picture=picture,
        json_file=json_file, console=console or wide_console(),
    )  # fmt: skip


def _decided(
    run: Path | None, predictions: str | None, annotations: str, dataset: str, split: str, store_url: str | None,
    mask: str | None, threshold: float | None, thresholds: str | None,
) -> tuple[Decided, str, int]:  # fmt: skip
    """Decisions for each segment, their source, and the number of videos in the split."""
    from pipeline.datasets.llp import load_annotations
    from pipeline.datasets.threshold_files import read_class_thresholds
    from pipeline.reports.evaluation import decide_predictions, read_predictions, run_predictions
    from pipeline.training.run_folder import recipe_of
    from pipeline.training.run_store import open_run_store

    labelled = load_annotations(annotations, dataset=dataset)
    if run is None:
        found, source = read_predictions(str(predictions)), str(predictions)
    else:
        recipe = recipe_of(run)
        mask, source = mask or recipe.evaluate.mask, str(run)
        threshold = recipe.evaluate.threshold if threshold is None else threshold
        found = run_predictions(run, open_run_store(run, store_url), labelled, split)
    level: Any = 0.5 if threshold is None else threshold
    if thresholds:
        level = read_class_thresholds(thresholds, labelled.dataset.classes)
    chosen: Any = mask
    decided = decide_predictions(found, labelled, split, mask=chosen, threshold=level, source=source)
    return decided, source, len(labelled.split(split))


def _print_parsing(
    decided: Decided, source: str, split: str, of_videos: int, *, intervals: bool, classes: bool, overlap: str | None,
    picture: str | None, json_file: Path | None, console: Console,
) -> dict[str, float]:  # fmt: skip
    """Print the tables; write the picture and the scores."""
    from pipeline.metrics.bootstrap import bootstrap_intervals
    from pipeline.reports.evaluation import markdown
    from pipeline.reports.overlap_table import print_overlap
    from pipeline.reports.score_tables import absent_line, write_scores
    from pipeline.terminal.score_tables import show_tables

    videos = decided.scores()
    title, scores = f"{Path(source).name}, {split}, {len(videos)} videos", videos.mean()
    console.print(absent_line(of_videos, len(videos), split), end="")
    spread = {title: bootstrap_intervals(videos)} if intervals else None
    show_tables(console, markdown({title: scores, "nothing predicted": decided.chance()}, spread))
    if overlap == "every":
        subsets = {f"{name}, {count} videos": part for name, (count, part) in decided.subsets().items()}
        show_tables(console, markdown(subsets))
    elif overlap:
        print_overlap(console, {Path(source).name: decided}, overlap)
    if classes:
        console.print(_class_lines(decided))
    if picture:
        _write_picture(picture, decided, source)
    if json_file is not None:
        write_scores(json_file, scores.as_dict(), spread[title] if spread else None)
    return scores.as_dict()


def _refuse(options: Mapping[str, Any]) -> None:
    if wrong := [option for option, value in options.items() if value]:
        raise InvalidInput(f"evaluate: {', '.join(wrong)} is for parsing; these are predictions of localization")


def _of_localization(run: Path | None, predictions: str | None) -> bool:
    from pipeline.reports.evaluation import read_predictions
    from pipeline.training.run_folder import recipe_of

    if run is None:
        return "segment" in read_predictions(str(predictions), required=("id",))
    return recipe_of(run).task == "localization"


def _evaluate_localization(
    run: Path | None, predictions: str | None, annotations: str, dataset: str, split: str, store_url: str | None,
    threshold: float | None, **shown: Any,
) -> dict[str, float]:  # fmt: skip
    from pipeline.datasets.ave import load_events
    from pipeline.reports.evaluation import read_predictions, run_predictions
    from pipeline.reports.localization import print_localization
    from pipeline.training.run_folder import recipe_of
    from pipeline.training.run_store import open_run_store

    labels = load_events(annotations, dataset=dataset)
    if run is None:
        source = str(predictions)
        found, level = read_predictions(source, required=("id", "segment")), 0.5 if threshold is None else threshold
    else:
        found, source = run_predictions(run, open_run_store(run, store_url), labels, split), str(run)
        level = recipe_of(run).evaluate.threshold if threshold is None else threshold
    return print_localization(found, labels, split, source=source, threshold=level, **shown)


def _class_lines(decided: Any) -> str:
    import numpy as np

    lines = ["| class | videos | seg A | seg V | seg AV | seg Type@AV | seg Event@AV | ev Event@AV |", "|---" * 8 + "|"]
    segment, event = decided.classes("segment"), decided.classes("event")
    for at, name in enumerate(decided.truth.dataset.classes):
        columns = (segment.audio, segment.visual, segment.both, segment.type_mean, segment.event, event.event)
        cells = ["-" if np.isnan(column[at]) else f"{column[at]:.2f}" for column in columns]
        lines.append(f"| {name} | {int(segment.videos[at])} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _write_picture(text: str, decided: Any, source: str) -> None:
    from pipeline.reports.timeline_picture import Track, write_timeline

    clip, separator, file = text.partition("=")
    if not separator or not file:
        raise InvalidInput(f"--picture {text}: expected CLIP=FILE.svg")
    matching = [row for row, name in enumerate(decided.ids) if name == clip or name.startswith(clip)]
    if not matching:
        raise InvalidInput(f"--picture {text}: no clip {clip!r}, e.g. {decided.ids[0]}")
    row = matching[0]
    tracks = [
        Track("truth", decided.truth.audio[row], decided.truth.visual[row]),
        Track(Path(source).name, decided.audio[row], decided.visual[row]),
    ]
    write_timeline(Path(file), decided.ids[row], tracks, decided.truth.dataset)


def main() -> None:
    """Run as a program, with the exit codes of the command line."""
    from pipeline.terminal.exit_codes import run_command

    run_command(evaluate, prog_name="python -m pipeline.evaluate")


if __name__ == "__main__":
    main()
