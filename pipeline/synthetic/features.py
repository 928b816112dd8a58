"""Synthetic LLP features and annotations, to try parsers without the real features.

What it keeps of the real thing: which classes occur together and when (from the real annotations if they are given),
events that are heard but not seen and the other way round, several events at once, noise, and pseudo labels that are
wrong at a stated rate. What it cannot keep: how hard real sounds and pictures are. Scores on it compare parsers with
each other and say nothing about LLP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.llp import Annotations
from pipeline.datasets.spans import true_runs
from pipeline.extraction.provenance import now
from pipeline.synthetic.dataset import (
    CLIP_SECONDS,
    DEMO_CLASSES,
    Event,
    SyntheticClip,
    annotation_files,
    plan_clips,
    write_label_files,
)
from storage.clips import Clip, ClipTable
from storage.labels import LabelStore
from storage.layout.label_schema import LabelEmbeddings, LabelProvenance, LabelSpec, PseudoLabels
from storage.ledger import Row
from storage.schema import FeatureSpec, Modality, Provenance
from storage.store import FeatureStore
from storage.tables.llp_names import LLP_CLASSES
from storage.writer import claim, commit_features

SHARD_SIZE = 256
LABEL_DIM = 300
Bools = NDArray[np.bool_]
_ARRAYS: tuple[tuple[str, int, Modality], ...] = (
    ("vggish", 128, "audio"), ("resnet152", 2048, "visual"), ("r2plus1d_18", 512, "visual"),
)  # fmt: skip


@dataclass(frozen=True)
class Difficulty:
    """How far features and pseudo labels are from the truth.

    Attributes:
        noise: standard deviation of each value beside prototypes of standard deviation 1.
        clip_noise: of what all segments of a clip share, e.g. its background.
        strength: events differ in loudness and size: log-normal with this deviation.
        precision: of the pseudo labels' positive segments.
        recall: of the true positive segments.
    """

    noise: float = 3.0
    clip_noise: float = 1.5
    strength: float = 0.4
    precision: float = 0.8
    recall: float = 0.7


EASY = Difficulty(noise=0.5, clip_noise=0.5, strength=0.2, precision=0.9, recall=0.9)
"""A toy: with :data:`EASY_CLASSES` in :data:`EASY_COUNT` clips, a small HAN learns it in a few epochs."""

EASY_CLASSES, EASY_COUNT = DEMO_CLASSES, 240


def write_features(
    folder: str | Path, *, count: int = 2400, seed: int = 0, difficulty: Difficulty | None = None,
    annotations: Annotations | None = None, classes: Sequence[str] = LLP_CLASSES,
) -> FeatureStore:  # fmt: skip
    """Make ``folder/features.zarr`` and ``folder/annotations``.

    Args:
        folder: made if absent.
        count: clips, two thirds of them for training.
        seed: same seed, same numbers.
        difficulty: see :class:`Difficulty`.
        annotations: real ones, whose events are drawn on; made-up events if not given.
        classes: those that occur in made-up events; arrays and labels have a place for all of LLP's.

    Returns:
        The store: three feature arrays of 10 steps, ``labels/glove`` (made up as well) and ``pseudo_labels/valor``.
    """
    random, level, place = np.random.default_rng([seed, 7]), difficulty or Difficulty(), Path(folder)
    clips = plan_clips(count, seed=seed, classes=classes) if annotations is None else _drawn(annotations, count, seed)
    write_label_files(place, annotation_files(clips))
    audio, visual = truth_of(clips)
    table = ClipTable([Clip(clip.name, "", 0.0, CLIP_SECONDS, clip.split, clip.weak_labels) for clip in clips],
                      dataset="synthetic")  # fmt: skip
    store = FeatureStore.create(str(place / "features.zarr"), table, shard_size=SHARD_SIZE)
    for name, dim, modality in _ARRAYS:
        _write_array(store, name, dim, modality, audio if modality == "audio" else visual, level, seed)
    labels = LabelStore.open(store.url)
    labels.write_embeddings(made_up_embeddings(LLP_CLASSES, seed))
    known = np.ones(count, dtype=bool)
    weak = (audio | visual).any(axis=1)
    made = [pseudo_labels(truth, weak, level, random) for truth in (audio, visual)]
    facts = {"precision": level.precision, "recall": level.recall}
    origin = LabelProvenance("synthetic", "1", f"random:{seed}", facts, created=now())
    labels.write_pseudo_labels(PseudoLabels("valor", origin, LLP_CLASSES, made[0], made[1], known))
    return store


def truth_of(clips: tuple[SyntheticClip, ...]) -> tuple[Bools, Bools]:
    """What is heard and seen, ``[clips, segments, classes]`` each."""
    audio = np.zeros((len(clips), CLIP_SECONDS, len(LLP_CLASSES)), dtype=bool)
    visual = np.zeros_like(audio)
    for row, clip in enumerate(clips):
        for event in clip.events:
            label = LLP_CLASSES.index(event.label)
            for truth, span in ((audio, event.audio), (visual, event.visual)):
                if span is not None:
                    truth[row, span[0] : span[1], label] = True
    return audio, visual


def _drawn(annotations: Annotations, count: int, seed: int) -> tuple[SyntheticClip, ...]:
    """Clips whose events are those of real ones: train and val draw on val, test on test."""
    random, held_out = np.random.default_rng([seed, 11]), max(count // 6, 1)
    clips = []
    for number in range(count):
        split = "test" if number >= count - held_out else "val" if number >= count - 2 * held_out else "train"
        part = annotations.split("test" if split == "test" else "val")
        row = int(random.integers(len(part)))
        events = _events(part.audio[row], part.visual[row], part.dataset.classes)
        clips.append(SyntheticClip(f"synth-{number:05d}_0_{CLIP_SECONDS}", split, events))
    return tuple(clips)


def _events(audio: Bools, visual: Bools, classes: tuple[str, ...]) -> tuple[Event, ...]:
    """Runs of each class; the first of a modality goes with the first of the other."""
    events = []
    for label in np.flatnonzero(audio.any(axis=0) | visual.any(axis=0)):
        heard, seen = true_runs(audio[:, label]), true_runs(visual[:, label])
        for number in range(max(len(heard), len(seen))):
            spans = [runs[number] if number < len(runs) else None for runs in (heard, seen)]
            events.append(Event(classes[label], spans[0], spans[1]))
    return tuple(events)


def _write_array(
    store: FeatureStore, name: str, dim: int, modality: Modality, truth: Bools, level: Difficulty, seed: int
) -> None:
    spec = FeatureSpec(name, CLIP_SECONDS, dim, modality, 1.0, description="made-up features of made-up events")
    facts = {"noise": level.noise, "clip_noise": level.clip_noise, "strength": level.strength}
    store.ensure_feature(spec, Provenance(name, "synthetic-1", f"random:{seed}", facts, "uniform", "synthetic"))
    prototypes = np.random.default_rng([seed, dim]).standard_normal((len(LLP_CLASSES), dim)).astype(np.float32)

    def values_of(span: range) -> NDArray[np.float32]:
        random = np.random.default_rng([seed, dim, span.start // SHARD_SIZE])
        return features(truth[span.start : span.stop], prototypes, level, random)

    write_shards(store, name, values_of)


def write_shards(store: FeatureStore, name: str, values_of: Callable[[range], NDArray[np.float32]]) -> None:
    """Write a made-up array, whole.

    Args:
        store: with the array's spec.
        name: of the array.
        values_of: from rows to ``[rows, steps, dim]``.
    """
    for shard in range(store.shards):
        span = store.shard_rows(shard)
        values = values_of(span)
        rows = [Row(store.ids[row], "ok", stored=True, clip_fingerprint=store.ids[row]) for row in span]
        with claim(store, [name], shard):
            valid = np.ones(values.shape[:2], dtype=bool)
            commit_features(store, name, shard, values=values, valid=valid, rows=rows)


def features(
    truth: Bools, prototypes: NDArray[np.float32], level: Difficulty, random: np.random.Generator
) -> NDArray[np.float32]:
    """Features of some clips: prototypes of what happens, added, noise, and a ReLU.

    Args:
        truth: ``[clips, segments, classes]``.
        prototypes: ``[classes, dim]``.
        level: of difficulty.
        random: to draw from.

    Returns:
        ``[clips, segments, dim]``, not negative.
    """
    clips, segments, classes = truth.shape
    dim = prototypes.shape[1]
    strength = np.exp(level.strength * random.standard_normal((clips, 1, classes))).astype(np.float32)
    mixed = (truth * strength) @ prototypes
    mixed += level.clip_noise * random.standard_normal((clips, 1, dim), dtype=np.float32)
    mixed += level.noise * random.standard_normal((clips, segments, dim), dtype=np.float32)
    made: NDArray[np.float32] = np.maximum(mixed, 0).astype(np.float32)
    return made


def pseudo_labels(truth: Bools, weak: Bools, level: Difficulty, random: np.random.Generator) -> NDArray[np.uint8]:
    """Wrong labels at a stated rate: some true segments are lost, and some segments of the video's classes are added.

    Args:
        truth: ``[clips, segments, classes]``.
        weak: ``[clips, classes]``, of both modalities; only these classes are added, as VALOR's rule has it.
        level: precision and recall.
        random: to draw from.

    Returns:
        ``[clips, segments, classes]`` uint8.
    """
    kept = truth & (random.random(truth.shape) < level.recall)
    open_places = ~truth & weak[:, None, :]
    wanted = kept.sum() * (1 - level.precision) / level.precision
    share = min(1.0, wanted / max(int(open_places.sum()), 1))
    made: NDArray[np.uint8] = (kept | (open_places & (random.random(truth.shape) < share))).astype(np.uint8)
    return made


def made_up_embeddings(classes: tuple[str, ...], seed: int) -> LabelEmbeddings:
    """Random vectors in place of GloVe's."""
    vectors = np.random.default_rng([seed, LABEL_DIM]).standard_normal((len(classes), LABEL_DIM)) / 3
    spec = LabelSpec("glove", "synthetic", LABEL_DIM, "made-up vectors in place of GloVe's")
    origin = LabelProvenance("synthetic", "1", f"random:{seed}", created=now())
    return LabelEmbeddings(spec, origin, classes, tuple((name,) for name in classes), vectors.astype(np.float32))
