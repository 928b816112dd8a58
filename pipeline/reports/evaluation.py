"""Scores predictions and runs: tables, intervals, subsets and classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.datasets.clip_labels import ClipLabels, named_once
from pipeline.datasets.llp import Annotations
from pipeline.foreign_arrays import read_npz
from pipeline.metrics.bootstrap import Interval
from pipeline.metrics.classwise import class_table
from pipeline.metrics.decisions import Mask, decide
from pipeline.metrics.modality_only import modality_only as modality_only_scores
from pipeline.metrics.named_scores import NamedScores
from pipeline.metrics.parsing import HEADINGS, ParsingScores, VideoScores, nothing_predicted, video_scores
from pipeline.metrics.subsets import Overlap, overlapping
from pipeline.metrics.video_level import level_means, video_level
from pipeline.reports.score_tables import absent_line, score_table
from pipeline.terminal.score_tables import show_tables
from pipeline.training.run_folder import recipe_of
from storage.errors import InvalidInput
from storage.tables.file_stems import FileStems

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Decided:
    """Decisions and the ground truth of the same clips.

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

    def on(self, ids: Sequence[str]) -> Decided:
        """The same for some of the clips, in their order."""
        row_of = {name: row for row, name in enumerate(self.ids)}
        rows = [row_of[name] for name in ids]
        return Decided(tuple(ids), self.audio[rows], self.visual[rows], self.truth.align(ids))

    def more_scores(self, *, levels: bool, modality_only: bool) -> dict[str, NamedScores]:
        """Scores beside the eleven, by a name for the table and the JSON file."""
        arrays = (self.audio, self.visual, self.truth.audio, self.truth.visual)
        found: dict[str, NamedScores] = {}
        if levels:
            found |= {"video_level": video_level(*arrays), "level_means": level_means(self.scores())}
        return found | ({"modality_only": modality_only_scores(*arrays)} if modality_only else {})

    def chance(self) -> ParsingScores:
        """See :func:`pipeline.metrics.parsing.nothing_predicted`."""
        return nothing_predicted(self.truth.audio, self.truth.visual)

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
    path: str | Path, *, required: Sequence[str] = ("id", "audio_segment", "visual_segment")
) -> dict[str, NDArray[Any]]:
    """Read a predictions file: ``id``, ``audio_segment``, ``visual_segment``, and video-level probabilities if given.

    Args:
        path: the file.
        required: names that must be there.

    Raises:
        InvalidInput: If it is none; the message says what is missing.
    """
    found = read_npz(path, "is no predictions file (.npz)")
    if absent := [name for name in required if name not in found]:
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


def decide_predictions(
    found: Mapping[str, NDArray[Any]], annotations: Annotations, split: str, *, mask: Mask | None = None,
    threshold: ArrayLike = 0.5, source: str = "predictions",
) -> Decided:  # fmt: skip
    """Apply thresholds and masks to predictions of any origin.

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
    """Row names of the annotations; in LLP a YouTube id stands for the clip that begins so."""
    stems = FileStems(truth.ids)
    stems.refuse_shared(set(ids) - set(truth.ids), where=source, remedy="Write whole ids")
    return named_once(ids, stems.clips(), split=split, source=source)


def markdown(rows: Mapping[str, ParsingScores], intervals: Mapping[str, Mapping[str, Interval]] | None = None) -> str:
    """A table as the papers print it, in percent; half widths of 95 % intervals where given."""
    return score_table({title: scores.as_dict() for title, scores in rows.items()}, HEADINGS, intervals or {})


def run_predictions(
    run: Path, store: Any, annotations: ClipLabels, split: str, *, missing: str = "skip"
) -> dict[str, NDArray[Any]]:
    """Predict a split with a run's best checkpoint.

    Args:
        run: its folder.
        store: with the recipe's features.
        annotations: of the dataset.
        split: to predict.
        missing: ``skip`` or ``error``.

    Raises:
        InvalidInput: If the folder holds no run, or the store or the annotations do not fit its model.
    """
    from pipeline.datasets.dataset import Missing
    from pipeline.training.predict import predict
    from pipeline.training.run_inputs import model_and_clips
    from pipeline.training.tasks import task_of

    model, labels, clips = model_and_clips(run, store, annotations, split, missing=cast("Missing", missing))
    parts = task_of(recipe_of(run)).parts
    return {"id": np.asarray(clips.annotations.ids), **predict(model, clips, labels, parts=parts)}


def final_scores(run: Path, store: Any, labels: ClipLabels, *, missing: str, console: Any) -> dict[str, Any]:
    """Evaluate a run's best epoch on every split that has truth and clips; write predictions, scores and the table."""
    from pipeline.training.tasks import task_of

    recipe, out = recipe_of(run), dict[str, Any]()
    task = task_of(recipe)
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
        truth = labels.split(split).align([str(name) for name in found.pop("id")], asker=str(run))
        console.print(absent_line(len(labels.split(split)), len(truth), split), end="")
        own = f"{recipe.name}, {split}, {len(truth)} videos"
        rows[own] = out[split] = task.scores(found, truth, recipe)
        rows |= {f"{name}, {split}": scores for name, scores in task.baselines(truth).items()}
        intervals[own] = task.intervals(found, truth, recipe)
    if rows:
        table = score_table(rows, task.headings, intervals)
        (run / "table.md").write_text(table)
        (run / "scores.json").write_text(json.dumps(out, indent=2))
        show_tables(console, table)
    return out
