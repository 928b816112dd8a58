"""Scores of predictions and of runs: tables, intervals, subsets, classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.datasets.ave import EventLabels
from pipeline.datasets.clip_labels import ClipLabels, named_once
from pipeline.datasets.llp import Annotations
from pipeline.foreign_arrays import read_json, read_npz
from pipeline.metrics.bootstrap import Interval, bootstrap_intervals
from pipeline.metrics.classwise import class_table
from pipeline.metrics.decisions import Mask, decide
from pipeline.metrics.parsing import SCORES, ParsingScores, VideoScores, video_scores
from pipeline.metrics.subsets import Overlap, overlapping
from pipeline.recipes.recipe import Recipe, load_recipe
from pipeline.reports import localization as localization_report
from pipeline.reports.score_tables import score_table
from storage.errors import InvalidInput
from storage.tables.llp_names import YOUTUBE_ID_LENGTH

HEADINGS = {
    "seg_a": "A", "seg_v": "V", "seg_av": "AV", "seg_type": "Type@AV", "seg_event": "Event@AV",
    "ev_a": "A", "ev_v": "V", "ev_av": "AV", "ev_type": "Type@AV", "ev_event": "Event@AV", "average": "Avg",
}  # fmt: skip
COLUMNS = {name: f"{name.partition('_')[0]} {HEADINGS[name]}" if "_" in name else HEADINGS[name] for name in SCORES}
"""Headings that name the level too."""
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Decided:
    """Decisions beside the truth.

    Attributes:
        ids: clips.
        audio: ``[videos, segments, classes]`` decisions.
        visual: likewise.
        truth: annotations of the same clips.
    """

    ids: tuple[str, ...]
    audio: Bools
    visual: Bools
    truth: Annotations

    def scores(self) -> VideoScores:
        """By video."""
        return video_scores(self.audio, self.visual, self.truth.audio, self.truth.visual)

    def classes(self, level: str) -> Any:
        """F1 by class, see :func:`pipeline.metrics.classwise.class_table`."""
        return class_table(self.audio, self.visual, self.truth.audio, self.truth.visual, level=level)  # type: ignore[arg-type]

    def subsets(self) -> dict[str, tuple[int, ParsingScores]]:
        """Number of videos and scores of the overlapping and the other videos, by each reading of the word."""
        found, videos = {}, self.scores()
        for reading in get_args(Overlap):
            rows = overlapping(self.truth.audio, self.truth.visual, reading=reading)
            for name, chosen in ((f"overlapping ({reading})", rows), (f"non-overlapping ({reading})", ~rows)):
                if chosen.any():
                    found[name] = int(chosen.sum()), videos.select(chosen).mean()
        return found


def read_predictions(
    path: str | Path, *, needs: Sequence[str] = ("id", "audio_segment", "visual_segment")
) -> dict[str, NDArray[Any]]:
    """A predictions file: ``id``, ``audio_segment``, ``visual_segment``, and video-level probabilities if given.

    Args:
        path: the file.
        needs: names that must be there.

    Raises:
        InvalidInput: If it is none; the message says what is missing.
    """
    found = read_npz(path, "is no predictions file (.npz)")
    if absent := [name for name in needs if name not in found]:
        raise InvalidInput(f"{path}: lacks {', '.join(absent)}; there are {', '.join(found)}")
    if found["id"].ndim != 1:
        raise InvalidInput(f"{path}: id has the shape {list(found['id'].shape)}, expected one name a video")
    videos = len(found["id"])
    for name, array in found.items():
        if array.shape[:1] != (videos,):
            raise InvalidInput(f"{path}: {name} has the shape {list(array.shape)}, expected {videos} videos first")
        if name != "id" and array.dtype.kind not in "fiub":
            raise InvalidInput(f"{path}: {name} holds {array.dtype}, expected numbers")
    return found


def holds_localization(path: str | Path) -> bool:
    """Whether a predictions file is one of localization.

    Raises:
        InvalidInput: If it is no predictions file.
    """
    return "segment" in read_npz(path, "is no predictions file (.npz)")


def decide_predictions(
    found: Mapping[str, NDArray[Any]], annotations: Annotations, split: str, *, mask: Mask | None = None,
    threshold: ArrayLike = 0.5, source: str = "predictions",
) -> Decided:  # fmt: skip
    """Thresholds and masks on anyone's predictions.

    Args:
        found: see :func:`read_predictions`.
        annotations: of the dataset.
        split: the ids must lie in it.
        mask: ``union`` where ``union_video`` is given and nothing else is asked for, else ``none``.
        threshold: one, or one a class.
        source: for messages.

    Raises:
        InvalidInput: If an id is unknown or twice, or shapes do not fit.
    """
    truth = annotations.split(split)
    if not truth.has_ground_truth.all():
        raise InvalidInput(f"{annotations.source}: has no ground truth for {split}")
    ids = _full_ids([str(name) for name in found["id"]], truth, split, source)
    shape = (len(ids), truth.dataset.segments, len(truth.dataset.classes))
    for name in ("audio_segment", "visual_segment"):
        if found[name].shape != shape:
            raise InvalidInput(f"{source}: {name} is {list(found[name].shape)}, expected {list(shape)}")
    chosen: Mask = mask or ("union" if "union_video" in found else "none")
    given = {name: found.get(name) for name in ("union_video", "audio_video", "visual_video")}
    audio, visual = found["audio_segment"], found["visual_segment"]
    try:
        audio, visual = decide(audio, visual, **given, mask=chosen, threshold=threshold)
    except InvalidInput as problem:
        raise InvalidInput(f"{source}: {problem}") from problem
    return Decided(tuple(ids), audio, visual, truth.align(ids, asker=source))


def _full_ids(ids: Sequence[str], truth: Annotations, split: str, source: str) -> list[str]:
    """Row names of the annotations; 11-character names are taken for the clip that begins so."""
    known = {name: name for name in truth.ids} | {name[:YOUTUBE_ID_LENGTH]: name for name in truth.ids}
    return named_once(ids, known, split=split, source=source)


def markdown(rows: Mapping[str, ParsingScores], intervals: Mapping[str, Mapping[str, Interval]] | None = None) -> str:
    """A table as the papers print it, in percent; half widths of 95 % intervals where given."""
    return score_table({title: scores.as_dict() for title, scores in rows.items()}, COLUMNS, intervals or {})


def chance(truth: Annotations) -> ParsingScores:
    """What predicting nothing scores on these videos: the level that a parser has to beat."""
    nothing = np.zeros_like(truth.audio)
    return video_scores(nothing, nothing, truth.audio, truth.visual).mean()


def run_predictions(
    run: Path, store: Any, annotations: ClipLabels, split: str, *, missing: str = "skip"
) -> dict[str, NDArray[Any]]:
    """Predictions of a run's best checkpoint for a split.

    Args:
        run: its folder.
        store: with the recipe's features.
        annotations: of the dataset.
        split: to predict.
        missing: ``skip`` or ``error``.

    Raises:
        InvalidInput: If the folder holds no run.
    """
    from pipeline.datasets.dataset import Missing, load_split
    from pipeline.training.checkpoint import find_checkpoint, load_weights
    from pipeline.training.predict import predict
    from pipeline.training.run_setup import fresh_model, load_labels, sized_config
    from pipeline.training.tasks import task_of

    recipe, best = recipe_of(run), find_checkpoint(run / "best")
    if best is None:
        raise InvalidInput(f"{run}: has no finished epoch yet")
    labels = load_labels(recipe, store, annotations.dataset)
    model = fresh_model(sized_config(recipe, store, annotations.dataset, labels), recipe.train.seed)
    load_weights(best, model)
    clips = load_split(store, annotations, recipe.features, split, missing=cast("Missing", missing))
    return {"id": np.asarray(clips.annotations.ids), **predict(model, clips, labels, parts=task_of(recipe).parts)}


def recipe_of(run: Path) -> Recipe:
    """The recipe of a run's folder.

    Raises:
        InvalidInput: If it holds no run.
    """
    if not (run / "recipe.toml").is_file():
        raise InvalidInput(f"{run}: is no run: it has no recipe.toml. Train one: python -m pipeline.train")
    return load_recipe(run / "recipe.toml")


def provenance_of(run: Path) -> dict[str, Any]:
    """What a run was made from, as it was written when it began.

    Raises:
        InvalidInput: If that is absent or damaged.
    """
    path = run / "provenance.json"
    remedy = "Put it back, or train again in a new --out"
    found = read_json(path, remedy=remedy)
    texts = isinstance(found, dict) and all(isinstance(found.get(key), str) for key in ("store", "clip_table"))
    arrays = found.get("arrays") if texts else None
    if not isinstance(arrays, dict) or not all(map(_has_fingerprint, arrays.values())):
        raise InvalidInput(f"{path}: expected store, clip_table, and arrays with their fingerprints. {remedy}")
    return dict(found)


def _has_fingerprint(array: object) -> bool:
    return isinstance(array, dict) and "fingerprint" in array


def final_scores(run: Path, store: Any, labels: ClipLabels, *, missing: str, console: Any) -> dict[str, Any]:
    """Evaluate a run's best epoch on every split that has truth and clips; write predictions, scores and the table."""
    recipe, out = recipe_of(run), dict[str, Any]()
    rows, intervals = dict[str, Mapping[str, float]](), dict[str, Mapping[str, Interval]]()
    for split in ("val", "test"):
        if split not in labels.splits or not labels.split(split).judged:
            continue
        try:
            found = run_predictions(run, store, labels, split, missing=missing)
        except InvalidInput as problem:
            console.print(f"{split}: not evaluated: {problem}")
            continue
        np.savez_compressed(run / f"predictions-{split}.npz", **found)
        of_split, spread = _split_rows(recipe, found, labels, split)
        own = next(iter(of_split))
        rows, intervals[own], out[split] = rows | of_split, spread, of_split[own]
    if rows:
        table = score_table(rows, _headings(recipe), intervals)
        (run / "table.md").write_text(table)
        (run / "scores.json").write_text(json.dumps(out, indent=2))
        console.print(table)
    return out


def _headings(recipe: Recipe) -> dict[str, str]:
    if recipe.task == "localization":
        return localization_report.HEADINGS
    return COLUMNS


def _split_rows(
    recipe: Recipe, found: Mapping[str, NDArray[Any]], labels: ClipLabels, split: str
) -> tuple[dict[str, dict[str, float]], dict[str, Interval]]:
    """A run's scores of a split first, then what others would score without looking; and the intervals of the first."""
    if isinstance(labels, EventLabels):
        return localization_report.split_rows(recipe, found, labels, split)
    mask, threshold = recipe.evaluate.mask, recipe.evaluate.threshold
    decided = decide_predictions(found, cast("Annotations", labels), split, mask=mask, threshold=threshold)
    videos = decided.scores()
    rows = {
        f"{recipe.name}, {split}, {len(decided.ids)} videos": videos.mean().as_dict(),
        f"nothing predicted, {split}": chance(decided.truth).as_dict(),
    }
    return rows, bootstrap_intervals(videos)
