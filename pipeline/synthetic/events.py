"""Synthetic AVE features and labels, to try localizers without the real features.

What it keeps of the real thing: one event a clip, heard and seen at once for a span of seconds, as long as AVE's are on
average; sounds that go on without their picture and pictures without their sound, which are background; pictures in
which the event is at some positions of a grid; clips without an event, for training. What it cannot keep: how hard real
sounds and pictures are. Scores on it compare localizers with each other and say nothing about AVE.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.ave import COLUMNS, EVERYTHING
from pipeline.datasets.dataset_description import DatasetDescription, load_description
from pipeline.synthetic.dataset import write_label_files
from pipeline.synthetic.features import SHARD_SIZE, write_shards
from pipeline.synthetic.label_directions import made_up_embeddings
from storage.clips import Clip, ClipTable
from storage.labels import LabelStore
from storage.schema import FeatureSpec, Modality, Provenance
from storage.store import FeatureStore

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
AUDIO_DIM, SIDE, PATCH = 128, 7, 3


@dataclass(frozen=True)
class EventDifficulty:
    """How far features are from the truth, and how often things happen.

    Attributes:
        noise: standard deviation of each value beside prototypes of standard deviation 1.
        clip_noise: of what all segments of a clip share.
        whole: share of clips whose event lasts from beginning to end.
        alone: share of the others in which the sound, or the picture, goes on before and after the event.
        empty: share of the training clips that have no event.
    """

    noise: float = 3.0
    clip_noise: float = 1.5
    whole: float = 0.6
    alone: float = 0.5
    empty: float = 0.05


@dataclass(frozen=True)
class EventClip:
    """One made-up clip.

    Attributes:
        name: 11 characters, as a video's id.
        split: ``train``, ``val`` or ``test``.
        label: class of the event; the background where there is none.
        span: ``[first, last)`` segments of the event; empty where there is none.
        heard: ``[segments]``, whether the class sounds.
        seen: ``[segments]``, whether it is in the picture.
        patch: top row and left column of its place in the grid.
    """

    name: str
    split: str
    label: int
    span: tuple[int, int]
    heard: Bools
    seen: Bools
    patch: tuple[int, int]


def write_event_features(
    folder: str | Path, *, count: int = 1800, seed: int = 0, channels: int = 32,
    difficulty: EventDifficulty | None = None,
) -> FeatureStore:  # fmt: skip
    """Make ``folder/features.zarr`` and ``folder/annotations``.

    Args:
        folder: made if absent.
        count: clips, two thirds of them for training.
        seed: same seed, same numbers.
        channels: of each of the 49 positions; VGG-19 has 512.
        difficulty: see :class:`EventDifficulty`.

    Returns:
        The store: ``vggish``, ``vgg19_pool5`` and ``labels/glove``, all made up.
    """
    level, place, ave = difficulty or EventDifficulty(), Path(folder), load_description("ave")
    clips = plan_events(count, seed=seed, level=level, dataset=ave)
    write_label_files(place, event_files(clips, ave))
    seconds = ave.segments * ave.segment_seconds
    table = ClipTable([Clip(clip.name, "", 0.0, seconds, clip.split, (ave.classes[clip.label],)) for clip in clips],
                      dataset="synthetic")  # fmt: skip
    store = FeatureStore.create(str(place / "features.zarr"), table, shard_size=SHARD_SIZE)
    _write(store, "vggish", AUDIO_DIM, "audio", clips, level, seed)
    _write(store, "vgg19_pool5", SIDE * SIDE * channels, "visual", clips, level, seed)
    LabelStore.open(store.url).write_embeddings(made_up_embeddings(ave.classes, seed))
    return store


def plan_events(count: int, *, seed: int, level: EventDifficulty, dataset: DatasetDescription) -> tuple[EventClip, ...]:
    """Which event happens when, in every clip."""
    random, held_out = np.random.default_rng([seed, 13]), max(count // 6, 1)
    clips = []
    for number in range(count):
        split = "test" if number >= count - held_out else "val" if number >= count - 2 * held_out else "train"
        empty = split == "train" and random.random() < level.empty
        clips.append(_plan(f"ave-{number:07d}", split, random, level, dataset, empty=empty))
    return tuple(clips)


def _plan(
    name: str, split: str, random: np.random.Generator, level: EventDifficulty, dataset: DatasetDescription, *,
    empty: bool,
) -> EventClip:  # fmt: skip
    segments, background = dataset.segments, len(dataset.classes) - 1
    label = int(random.integers(background))
    top, left = (int(at) for at in random.integers(SIDE - PATCH + 1, size=2))
    length = segments if random.random() < level.whole else int(random.integers(2, segments - 1))
    first = int(random.integers(segments - length + 1))
    inside = (np.arange(segments) >= first) & (np.arange(segments) < first + length)
    sounds_on, shows_on = (random.random() < level.alone) & (np.arange(2) == random.integers(2))
    heard, seen = inside | sounds_on, inside | shows_on
    if empty:  # heard or seen, or neither, but not both
        heard, seen = np.full(segments, sounds_on), np.full(segments, shows_on)
        return EventClip(name, split, background, (0, 0), heard, seen, (top, left))
    return EventClip(name, split, label, (first, first + length), heard, seen, (top, left))


def event_files(clips: tuple[EventClip, ...], dataset: DatasetDescription) -> dict[str, str]:
    """The label files by name; clips without an event are in the file of their split alone."""
    header, files = "&".join(COLUMNS), dict[str, list[str]]()
    for clip in clips:
        happens = dataset.classes[clip.label] != dataset.background
        line = f"{dataset.classes[clip.label]}&{clip.name}&good&{clip.span[0]}&{clip.span[1]}"
        for name in (dataset.event_files[clip.split], *([EVERYTHING] if happens else [])):
            files.setdefault(name, [header]).append(line)
    return {name: "\n".join(lines) + "\n" for name, lines in files.items()}


def _write(
    store: FeatureStore, name: str, dim: int, modality: Modality, clips: tuple[EventClip, ...],
    level: EventDifficulty, seed: int,
) -> None:  # fmt: skip
    segments = len(clips[0].heard)
    facts = {"noise": level.noise, "clip_noise": level.clip_noise}
    spec = FeatureSpec(name, segments, dim, modality, 1.0, description="made-up features of made-up events")
    store.ensure_feature(spec, Provenance(name, "synthetic-1", f"random:{seed}", facts, "uniform", "synthetic"))
    width = dim if modality == "audio" else dim // (SIDE * SIDE)
    prototypes = np.random.default_rng([seed, dim]).standard_normal((64, width)).astype(np.float32)

    def values_of(span: range) -> Floats:
        random = np.random.default_rng([seed, dim, span.start])
        return np.stack([_features(clips[row], prototypes, modality, level, random, dim=dim) for row in span])

    write_shards(store, name, values_of)


def _features(
    clip: EventClip, prototypes: Floats, modality: Modality, level: EventDifficulty, random: np.random.Generator, *,
    dim: int,
) -> Floats:  # fmt: skip
    """``[segments, dim]``: the class where it is heard or seen, what the clip shares, noise, and a ReLU."""
    segments = len(clip.heard)
    label = int(random.integers(len(prototypes) // 2)) if clip.span == (0, 0) else clip.label
    if modality == "audio":
        made = np.outer(clip.heard, prototypes[label]).astype(np.float32)
    else:
        grid = np.zeros((segments, SIDE, SIDE, prototypes.shape[1]), dtype=np.float32)
        top, left = clip.patch
        grid[clip.seen, top : top + PATCH, left : left + PATCH] = prototypes[label]
        made = grid.reshape(segments, dim)
    made += level.clip_noise * random.standard_normal((1, dim), dtype=np.float32)
    made += level.noise * random.standard_normal((segments, dim), dtype=np.float32)
    return np.maximum(made, 0)
