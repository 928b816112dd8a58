"""Synthetic LLP features and annotations, to try parsers without the real features.

What it keeps of the real thing: which classes occur together and when (from the real annotations if they are given),
events that are heard but not seen and the other way round, several events at once, noise, and pseudo labels that are
wrong at a stated rate, in single segments or for seconds. What it cannot keep: how hard real sounds and pictures are.
Scores on it compare parsers with each other and say nothing about LLP. How a dataset was made is kept in its store and
read again by :func:`difficulty_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.llp import Annotations
from pipeline.datasets.spans import true_runs
from pipeline.extraction.provenance import now
from pipeline.synthetic.array_specs import ARRAYS, MORE_ARRAYS, as_map, spec_of
from pipeline.synthetic.dataset import (
    CLIP_SECONDS,
    DEMO_CLASSES,
    Event,
    SyntheticClip,
    annotation_files,
    plan_clips,
    split_of,
    write_label_files,
)
from pipeline.synthetic.label_directions import class_directions, made_up_embeddings
from pipeline.synthetic.label_errors import wrong_labels
from pipeline.synthetic.llp_like import Frequencies, overlap_share, plan_llp_like
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.layout.label_schema import LabelEmbeddings, LabelProvenance, PseudoLabels
from storage.ledger import Row
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore
from storage.tables.llp_names import LLP_CLASSES
from storage.writer import claim, commit_features

SHARD_SIZE = 256
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
_MORE_LABELS = {"bert": 768, "clip": 768}


@dataclass(frozen=True)
class Difficulty:
    """How far features and pseudo labels are from the truth.

    Attributes:
        noise: standard deviation of each value beside prototypes of standard deviation 1.
        clip_noise: of what all segments of a clip share, e.g. its background.
        strength: events differ in loudness and size: log-normal with this deviation.
        precision: of the pseudo labels' positive segments.
        recall: of the true positive segments.
        error_seconds: how long the pseudo labels are wrong at a time, on average; 1 makes every segment wrong or right
            for itself.
        overlap: of made-up events: share of segments with several, among those with any; ``None`` as it falls.
        frequencies: of made-up events: ``even``, or ``llp`` for LLP's classes and sets of classes as often as there.
    """

    noise: float = 3.0
    clip_noise: float = 1.5
    strength: float = 0.4
    precision: float = 0.8
    recall: float = 0.7
    error_seconds: float = 1.0
    overlap: float | None = None
    frequencies: Frequencies = "even"

    def __post_init__(self) -> None:
        for name in ("noise", "clip_noise", "strength"):
            _in_range(name, getattr(self, name), 0.0, 1e6)
        _in_range("precision", self.precision, 0.01, 1.0)
        _in_range("recall", self.recall, 0.0, 1.0)
        _in_range("error_seconds", self.error_seconds, 1.0, CLIP_SECONDS)


def _in_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise InvalidInput(f"made-up features: {name} is {value:g}, expected {least:g} to {most:g}")


EASY = Difficulty(noise=0.5, clip_noise=0.5, strength=0.2, precision=0.9, recall=0.9)
"""A toy: with :data:`EASY_CLASSES` in :data:`EASY_COUNT` clips, a small HAN learns it in a few epochs."""

EASY_CLASSES, EASY_COUNT = DEMO_CLASSES, 240


def write_features(
    folder: str | Path, *, count: int = 2400, seed: int = 0, difficulty: Difficulty | None = None,
    annotations: Annotations | None = None, classes: Sequence[str] = LLP_CLASSES, held_out: int | None = None,
    label_geometry: LabelEmbeddings | None = None, every_array: bool = False,
) -> FeatureStore:  # fmt: skip
    """Make ``folder/features.zarr`` and ``folder/annotations``.

    Args:
        folder: made if absent.
        count: clips of all splits.
        seed: same seed, same numbers.
        difficulty: see :class:`Difficulty`.
        annotations: real ones, whose events are drawn on; made-up events if not given.
        classes: those that occur in made-up events; arrays and labels have a place for all of LLP's.
        held_out: clips of val, and as many of test; a sixth of all if not given.
        label_geometry: embeddings of LLP's classes that the features of the classes follow, see
            :func:`pipeline.synthetic.label_directions.class_directions`; ``None`` for classes that have nothing to do
            with their embeddings.
        every_array: also CLAP's map, CLIP's features and random ``labels/bert`` and ``labels/clip``: all that any
            recipe of parsing reads.

    Returns:
        The store: three feature arrays of 10 steps (or all), ``labels/glove`` (those of ``label_geometry``, or random
        vectors) and ``pseudo_labels/valor``.

    Raises:
        InvalidInput: If the splits do not fit into the count, or so much overlap cannot be.
    """
    random, level, place = np.random.default_rng([seed, 7]), difficulty or Difficulty(), Path(folder)
    clips = _planned(count, seed, level, annotations, classes, max(count // 6, 1) if held_out is None else held_out)
    write_label_files(place, annotation_files(clips))
    audio, visual = truth_of(clips)
    table = ClipTable([Clip(clip.name, "", 0.0, CLIP_SECONDS, clip.split, clip.weak_labels) for clip in clips],
                      dataset="synthetic")  # fmt: skip
    store = FeatureStore.create(str(place / "features.zarr"), table, shard_size=SHARD_SIZE)
    embeddings = label_geometry or made_up_embeddings(LLP_CLASSES, seed)
    facts = {
        "noise": level.noise, "clip_noise": level.clip_noise, "strength": level.strength, "overlap": level.overlap,
        "segments_with_several_events": round(overlap_share(clips), 4), "frequencies": level.frequencies,
        "events": "made up" if annotations is None else "drawn on real ones",
        "label_geometry": "" if label_geometry is None else label_geometry.provenance.weights,
    }  # fmt: skip
    for name, dim, modality in (*ARRAYS, *(MORE_ARRAYS if every_array else ())):
        truth = audio if modality == "audio" else visual
        prototypes = class_directions(dim, seed, None if label_geometry is None else embeddings.vectors)
        _write_array(store, spec_of(name, dim, modality), truth, prototypes, level, seed, facts)
    labels = LabelStore.open(store.url)
    labels.write_embeddings(embeddings)
    for name, dim in _MORE_LABELS.items() if every_array else ():
        labels.write_embeddings(made_up_embeddings(LLP_CLASSES, seed, name=name, dim=dim))
    labels.write_pseudo_labels(_pseudo_labels(audio, visual, level, seed, random))
    return store


def difficulty_of(store: FeatureStore) -> Difficulty:
    """How the made-up features of a store were made.

    Raises:
        StoreError: If the store has no such features or pseudo labels.
        InvalidInput: If its features are real ones.
    """
    origin = store.provenance(ARRAYS[0][0])
    if origin.source != "synthetic":
        raise InvalidInput(f"{store.url}: its features were not made up, they come from {origin.source}")
    labels = LabelStore.open(store.url).read_pseudo_labels("valor").provenance.facts
    facts: Mapping[str, Any] = {**origin.preprocessing, **labels}
    return Difficulty(**{name: facts[name] for name in Difficulty.__dataclass_fields__ if name in facts})


def _planned(
    count: int, seed: int, level: Difficulty, annotations: Annotations | None, classes: Sequence[str], held_out: int
) -> tuple[SyntheticClip, ...]:
    if not 0 < 2 * held_out < count:
        raise InvalidInput(f"{held_out} clips of val and of test leave none of {count} for training")
    llp_like = level.frequencies != "even" or level.overlap is not None
    if annotations is not None:
        if llp_like:
            raise InvalidInput(
                "made-up features: events drawn on real annotations have their own frequencies and overlap. "
                "Give one or the other"
            )
        return _drawn(annotations, count, seed, held_out)
    if llp_like:
        return plan_llp_like(
            count, held_out=held_out, seed=seed, classes=classes, frequencies=level.frequencies, overlap=level.overlap
        )
    return plan_clips(count, seed=seed, classes=classes, held_out=held_out)


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


def _drawn(annotations: Annotations, count: int, seed: int, held_out: int) -> tuple[SyntheticClip, ...]:
    """Clips whose events are those of real ones: train and val draw on val, test on test."""
    random = np.random.default_rng([seed, 11])
    clips = []
    for number in range(count):
        split = split_of(number, count, held_out)
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
    store: FeatureStore, spec: FeatureSpec, truth: Bools, prototypes: Floats, level: Difficulty, seed: int,
    facts: Mapping[str, Any],
) -> None:  # fmt: skip
    store.ensure_feature(spec, Provenance(spec.name, "synthetic-1", f"random:{seed}", facts, "uniform", "synthetic"))

    def values_of(span: range) -> Floats:
        random = np.random.default_rng([seed, spec.dim, span.start // SHARD_SIZE])
        values = features(truth[span.start : span.stop], prototypes, level, random)
        return values if spec.steps == CLIP_SECONDS else as_map(values)

    write_shards(store, spec.name, values_of)


def _pseudo_labels(
    audio: Bools, visual: Bools, level: Difficulty, seed: int, random: np.random.Generator
) -> PseudoLabels:
    weak = (audio | visual).any(axis=1)
    rates = {"precision": level.precision, "recall": level.recall, "error_seconds": level.error_seconds}
    made = [wrong_labels(truth, weak, random, **rates) for truth in (audio, visual)]
    origin = LabelProvenance("synthetic", "1", f"random:{seed}", rates, created=now())
    return PseudoLabels("valor", origin, LLP_CLASSES, made[0], made[1], np.ones(len(audio), dtype=bool))


def write_shards(store: FeatureStore, name: str, values_of: Callable[[range], Floats]) -> None:
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


def features(truth: Bools, prototypes: Floats, level: Difficulty, random: np.random.Generator) -> Floats:
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
    made: Floats = np.maximum(mixed, 0).astype(np.float32)
    return made
