"""What people annotated in a video, and how well the parsed events agree with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.llp import Annotations
from pipeline.metrics.parsing import video_scores
from pipeline.parsing.parsed_video import MODALITIES, Modality, ParsedVideo
from storage.tables.file_stems import FileStems
from storage.tables.llp_names import parse_llp_name

Bools = NDArray[np.bool_]

_SLACK_SECONDS = 1.5
"""A file at most this much longer than the clip is the clip itself, cut at key frames."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The annotations of one video.

    Attributes:
        clip: the annotated clip; empty where the video is not annotated.
        labels: classes that occur anywhere in the clip.
        grids: by modality ``[segments, classes]`` bool, on the grid and in the classes of the parsed video; empty where
            no seconds are annotated.
        known: ``[segments]`` bool, the segments that were looked at; the grids say nothing of others.
        scores: the eleven scores of this video in percent, by name; empty where they are not defined.
        note: what is missing, and why; else empty.
        identity: changes with the annotations of the video, see :func:`identity_of`.
    """

    clip: str = ""
    labels: tuple[str, ...] = ()
    grids: Mapping[Modality, Bools] = field(default_factory=dict)
    known: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool))
    scores: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    identity: str = ""


def identity_of(stem: str, annotations: Annotations) -> str:
    """What the truth of a file of this name depends on, as a digest.

    Args:
        stem: name of the file without its suffix.
        annotations: of a dataset.
    """
    row, why = _row_of(stem, annotations)
    found = hashlib.sha256("\n".join([*annotations.dataset.classes, why]).encode(errors="surrogateescape"))
    if row is not None:
        found.update(annotations.ids[row].encode())
        for values in (annotations.weak, annotations.audio, annotations.visual, annotations.has_ground_truth):
            found.update(np.ascontiguousarray(values[row]).tobytes())
    return found.hexdigest()[:16]


def truth_of(video: ParsedVideo, annotations: Annotations) -> Truth:
    """The truth of a video whose file is named like an annotated clip, or by the YouTube id of one.

    Args:
        video: parsed.
        annotations: of a dataset, see :func:`pipeline.datasets.llp.load_annotations`.
    """
    return replace(_truth_of(video, annotations), identity=identity_of(video.path.stem, annotations))


def _truth_of(video: ParsedVideo, annotations: Annotations) -> Truth:
    row, why = _row_of(video.path.stem, annotations)
    if row is None:
        return Truth(note=why)
    dataset, clip = annotations.dataset, annotations.ids[row]
    labels = tuple(dataset.classes[at] for at in np.flatnonzero(annotations.weak[row]).tolist())
    if not annotations.has_ground_truth[row]:
        return Truth(
            clip, labels, note=f"{clip} is annotated as a whole, without seconds: {', '.join(labels) or 'nothing'}"
        )
    first = _first_segment(clip, video)
    count = min(dataset.segments, video.segments - first)
    if video.segment_seconds != dataset.segment_seconds or count <= 0:
        return Truth(clip, labels, note=f"{clip} is annotated in seconds that the parsed grid does not have")
    known = np.zeros(video.segments, dtype=bool)
    known[first : first + count] = True
    given = {"audio": annotations.audio[row], "visual": annotations.visual[row]}
    grids = {name: _on_grid(given[name][:count], first, video, dataset.classes) for name in MODALITIES}
    scores, why = _scores(video, grids, dataset.classes, dataset.segments)
    return Truth(clip, labels, grids, known, scores, why)


def _row_of(stem: str, annotations: Annotations) -> tuple[int | None, str]:
    """The annotated clip of a file's name, or why there is none."""
    if stem in annotations.ids:
        return annotations.ids.index(stem), ""
    stems = FileStems(annotations.ids)
    if clip := stems.clips().get(stem):
        return annotations.ids.index(clip), ""
    if same := stems.shared.get(stem):
        names = ", ".join(same)
        return None, f"{len(same)} annotated clips are of {stem}: {names}. Name the file like one of them"
    return None, f"{annotations.source}: no clip is named {stem}"


def _first_segment(clip: str, video: ParsedVideo) -> int:
    """Where the clip begins in the file: at 0 if the file is the clip, else where its name says."""
    name = parse_llp_name(clip)
    if name is None or video.duration_seconds <= name.end_seconds - name.start_seconds + _SLACK_SECONDS:
        return 0
    return round(name.start_seconds / video.segment_seconds)


def _on_grid(truth: Bools, first: int, video: ParsedVideo, classes: tuple[str, ...]) -> Bools:
    """``[segments, classes]`` of the parsed video; false where the dataset has no such class."""
    grid = np.zeros((video.segments, len(video.classes)), dtype=bool)
    for at, label in enumerate(video.classes):
        if label in classes:
            grid[first : first + len(truth), at] = truth[:, classes.index(label)]
    return grid


def _scores(
    video: ParsedVideo, grids: Mapping[Modality, Bools], classes: tuple[str, ...], segments: int
) -> tuple[dict[str, float], str]:
    """The scores by name, or why there are none."""
    if video.segments != segments:
        return {}, f"no scores: they are defined for {segments} segments, this file has {video.segments}"
    if sorted(video.classes) != sorted(classes):
        return {}, "no scores: the model's classes are not the dataset's"
    if lacking := [name for name in MODALITIES if name not in video.decided]:
        return {}, f"no scores: nothing was decided for {lacking[0]}"
    decided, truth = ([made[name][None] for name in MODALITIES] for made in (video.decided, grids))
    return video_scores(*decided, *truth).mean().as_dict(), ""
