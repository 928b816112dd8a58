"""Makes pseudo labels for each segment with CLIP and CLAP, among the classes of the video's weak label.

Source: Lai et al., Modality-independent teachers meet weakly-supervised audio-visual event parser (VALOR), NeurIPS
2023, and its public code: strictly greater than the class's threshold and in the weak label; no fallback, so a video
may have no label at all.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.datasets.llp import Annotations, load_annotations
from pipeline.datasets.threshold_files import load_thresholds
from pipeline.extraction.provenance import now, versions
from storage.errors import InvalidInput, SchemaMismatch
from storage.labels import LabelStore
from storage.layout.label_schema import LabelEmbeddings, LabelProvenance, Labels, PseudoLabels
from storage.store import FeatureStore

TEACHERS = ("valor",)
CODE_VERSION = "1"
PROVENANCE_LIBRARIES = ("avvp-pipeline", "numpy", "zarr")
_READ_CLIPS = 256
_TINY = 1e-12

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Sources:
    """Names of the arrays in the store that a teacher compares.

    Attributes:
        audio: feature array of sound, a step a segment.
        visual: feature array of frames, a step a segment.
        audio_labels: label embeddings in the space of ``audio``.
        visual_labels: label embeddings in the space of ``visual``.
    """

    audio: str = "clap"
    visual: str = "clip_vit_l14"
    audio_labels: str = "clap"
    visual_labels: str = "clip"


def similarity_logits(features: Floats, vectors: Floats, *, logit_scale: float, logit_bias: float = 0.0) -> Floats:
    """Scaled cosines of every segment with every class.

    Args:
        features: ``[clips, segments, dim]``; NaN where there are none.
        vectors: ``[classes, dim]``.
        logit_scale: of the network that both come from.
        logit_bias: likewise; SigLIP has one.

    Returns:
        ``[clips, segments, classes]`` float32; NaN where there are no features.
    """
    units, directions = (
        array / np.maximum(np.linalg.norm(array, axis=-1, keepdims=True), _TINY)
        for array in (np.asarray(features, dtype=np.float32), np.asarray(vectors, dtype=np.float32))
    )
    scaled = np.asarray(np.float32(logit_scale) * (units @ directions.T), dtype=np.float32)
    return scaled + np.float32(logit_bias) if logit_bias else scaled


def decide(logits: Floats, thresholds: NDArray[np.float64], weak: Bools) -> Labels:
    """Apply the rule: the logit is above the threshold, and the class is in the weak label.

    Args:
        logits: ``[clips, segments, classes]``; NaN is no label.
        thresholds: ``[classes]``.
        weak: ``[clips, classes]`` bool.

    Returns:
        ``[clips, segments, classes]`` uint8.
    """
    return np.asarray((logits > thresholds) & weak[:, None, :], dtype=np.uint8)


def make_pseudo_labels(
    store_url: str | os.PathLike[str],
    *,
    dataset: DatasetDescription,
    teacher: str = "valor",
    name: str = "",
    thresholds: str | Path = "valor",
    annotations: str | Path | None = None,
    sources: Sources | None = None,
    subset: bool = False,
    rebuild: bool = False,
) -> tuple[PseudoLabels, bool]:
    """``avvp pseudo-labels``: make pseudo labels of every clip from the arrays of the store.

    A clip is known where both feature arrays are committed, at least one has something of it, and it has a weak label.
    A modality that it lacks has no labels there.

    Args:
        store_url: with features of both modalities and label embeddings of both networks.
        dataset: classes and segments.
        teacher: one of :data:`TEACHERS`.
        name: of the group; the teacher's if empty.
        thresholds: ``valor`` or a file.
        annotations: folder with weak labels; those of the store's clip table if not given.
        sources: arrays and label embeddings to compare.
        subset: whether the weak labels may name clips that the store lacks.
        rebuild: replace pseudo labels that differ.

    Returns:
        The pseudo labels, and whether they were written; not so where the same are there.

    Raises:
        AvvpError: If something is lacking or does not fit; the message says what to do.
    """
    if teacher not in TEACHERS:
        raise InvalidInput(f"--teacher {teacher!r}: expected one of {', '.join(TEACHERS)}")
    limits = load_thresholds(thresholds, dataset)
    store, labels = FeatureStore.open(store_url), LabelStore.open(store_url)
    _check_grid(store, dataset)
    weak = weak_labels(store, dataset, annotations=annotations, subset=subset)
    chosen = sources or Sources()
    facts: dict[str, Any] = {
        "thresholds": limits.to_json(),
        "weak_labels": "clips/labels" if annotations is None else "annotations",
    }
    heard, facts["audio"] = _look(store, labels, chosen.audio, chosen.audio_labels, dataset)
    seen, facts["visual"] = _look(store, labels, chosen.visual, chosen.visual_labels, dataset)
    committed = store.committed(chosen.audio) & store.committed(chosen.visual)
    present = (np.isfinite(heard) | np.isfinite(seen)).any(axis=(1, 2))
    made = PseudoLabels(
        teacher=name or teacher,
        provenance=LabelProvenance(
            teacher, CODE_VERSION, "", facts, libraries=versions(PROVENANCE_LIBRARIES), created=now()
        ),
        classes=dataset.classes,
        audio=decide(heard, limits.audio, weak),
        visual=decide(seen, limits.visual, weak),
        known=committed & present & weak.any(axis=1),
        audio_logits=heard,
        visual_logits=seen,
    )
    return made, labels.write_pseudo_labels(made, rebuild=rebuild)


def weak_labels(
    store: FeatureStore, dataset: DatasetDescription, *, annotations: str | Path | None, subset: bool
) -> Bools:
    """Weak labels of a store's clips.

    Returns:
        ``[clips, classes]`` bool; a row of zeros where nothing is known.

    Raises:
        InvalidInput: If there are none, one names a class that the dataset lacks, or ``annotations`` has other clips.
    """
    if annotations is not None:
        found: Annotations = load_annotations(annotations, dataset=dataset)
        aligned = found.align(store.ids, asker=store.url)
        if not subset and len(aligned) < len(found):
            unknown = min(set(found.ids) - set(store.ids))
            raise InvalidInput(
                f"{annotations}: labels {len(found) - len(aligned)} clips that {store.url} lacks, such as {unknown!r}. "
                "If it holds a part of them only, add --subset"
            )
        return aligned.weak
    weak = np.zeros((len(store.clips), len(dataset.classes)), dtype=bool)
    index = {label: number for number, label in enumerate(dataset.classes)}
    for row, clip in enumerate(store.clips):
        for label in clip.labels:
            if label not in index:
                raise InvalidInput(f"{store.url}: clip {clip.id!r} has the label {label!r}, which {dataset.name} lacks")
            weak[row, index[label]] = True
    if not weak.any():
        raise InvalidInput(
            f"{store.url}: its clips have no labels. Give the folder with the label files: --annotations DIR"
        )
    return weak


def _check_grid(store: FeatureStore, dataset: DatasetDescription) -> None:
    if store.info.clip_seconds != dataset.clip_seconds:
        raise SchemaMismatch(
            f"{store.url}: holds clips of {store.info.clip_seconds} s, those of {dataset.name} are "
            f"{dataset.clip_seconds:g} s. Give the dataset's description: --classes FILE"
        )


def _check_pair(
    store: FeatureStore, array: str, embeddings: LabelEmbeddings, dataset: DatasetDescription
) -> dict[str, Any]:
    """Check that features and label embeddings can be compared. Returns facts for the provenance."""
    spec, origin, made = store.spec(array), store.provenance(array), embeddings.provenance
    group = f"labels/{embeddings.spec.name}"
    if spec.steps != dataset.segments:
        raise SchemaMismatch(
            f"{store.url}: {array} has {spec.steps} steps, {dataset.name} has {dataset.segments} segments"
        )
    if spec.dim != embeddings.spec.dim:
        raise SchemaMismatch(f"{store.url}: {array} has {spec.dim} dimensions, {group} has {embeddings.spec.dim}")
    if made.logit_scale is None:
        raise SchemaMismatch(f"{store.url}: {group} has no logit scale: {made.maker} is not made to be compared")
    if origin.weights != made.weights:
        raise SchemaMismatch(
            f"{store.url}: {array} was made with weights {origin.weights}, {group} with {made.weights}: they cannot be "
            f"compared. Make one of them again with the other's"
        )
    return {
        "features": array,
        "fingerprint": store.fingerprint(array),
        "labels": embeddings.spec.name,
        "vectors": hashlib.sha256(np.ascontiguousarray(embeddings.vectors).tobytes()).hexdigest()[:16],
        "logit_scale": made.logit_scale,
        **({"logit_bias": made.facts["logit_bias"]} if "logit_bias" in made.facts else {}),
    }


def _look(
    store: FeatureStore, labels: LabelStore, array: str, group: str, dataset: DatasetDescription
) -> tuple[Floats, dict[str, Any]]:
    """Logits of one modality, and facts for the provenance."""
    embeddings = labels.read_embeddings(group, classes=dataset.classes)
    facts = _check_pair(store, array, embeddings, dataset)
    return _logits(store, array, embeddings), facts


def _logits(store: FeatureStore, array: str, embeddings: LabelEmbeddings) -> Floats:
    """``[clips, segments, classes]`` float32 of a whole store, computed in blocks of clips."""
    made = embeddings.provenance
    scale, bias = made.logit_scale or 0.0, float(made.facts.get("logit_bias", 0.0))
    out = np.full((store.info.clips, store.spec(array).steps, len(embeddings.classes)), np.nan, dtype=np.float32)
    for first in range(0, store.info.clips, _READ_CLIPS):
        rows = slice(first, first + _READ_CLIPS)
        features = store.read(array, rows)
        out[rows] = similarity_logits(features, embeddings.vectors, logit_scale=scale, logit_bias=bias)
    return out
