"""Noise ratios of weak labels: imports published ones, and estimates them from a trained model's predictions.

Source: Cheng et al., Joint-modal label denoising for weakly-supervised audio-visual video parsing (JoMoLD), ECCV 2022,
and its public code. CoLeaF and others read the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.extraction.provenance import now, versions
from pipeline.foreign_arrays import read_npz
from pipeline.labels.pseudo_labels import PROVENANCE_LIBRARIES
from storage.errors import InvalidInput
from storage.layout.label_schema import LabelProvenance, NoiseRatios

AUDIO_BELOW, VISUAL_BELOW = 0.6, 1.8
"""JoMoLD's thresholds: a label is noise where the probability is below this multiple of the class's mean."""

_VISUAL_TARGET = 0.95
"""JoMoLD weights visual probabilities by its smoothed target, 0.9 + 0.05; the audio target is 1."""

_CODE_VERSION = "1"
_TINY = 1e-12


def import_noise_ratios(path: Path, *, name: str, dataset: DatasetDescription) -> NoiseRatios:
    """Noise ratios of a published file.

    Args:
        path: ``.npz`` with ``audio`` and ``visual [classes]``, from 0 to 1.
        name: of the group.
        dataset: its classes.

    Raises:
        InvalidInput: If it holds something else.
    """
    found = read_npz(path, "not a file of noise ratios (.npz)")
    count = len(dataset.classes)
    for part in ("audio", "visual"):
        values = found.get(part)
        if values is None:
            raise InvalidInput(f"{path}: lacks {part}; it has {', '.join(found) or 'nothing'}")
        if values.shape != (count,) or values.dtype.kind not in "fiu" or not ((values >= 0) & (values <= 1)).all():
            raise InvalidInput(
                f"{path}: {part} must be {count} numbers from 0 to 1, got {values.dtype} {list(values.shape)}"
            )
    return _ratios(name, dataset, found["audio"], found["visual"], {"imported": True}, source=str(path))


def estimate_noise_ratios(
    predictions: Mapping[str, NDArray[Any]], weak: NDArray[np.bool_], *, name: str, dataset: DatasetDescription,
    audio_below: float = AUDIO_BELOW, visual_below: float = VISUAL_BELOW, source: str = "",
) -> NoiseRatios:  # fmt: skip
    """Estimate noise ratios as JoMoLD does: a label is noise where its probability is low for its class.

    Published code averages the means of its batches; here the mean is over all videos.

    Args:
        predictions: ``audio_video`` and ``visual_video [videos, classes]`` of the training split.
        weak: ``[videos, classes]``, the labels of these videos.
        name: of the group.
        dataset: its classes.
        audio_below: multiple of the class's mean probability below which an audio label is noise.
        visual_below: the same of visual labels.
        source: where the predictions come from, for people.

    Raises:
        InvalidInput: If predictions are missing or of another shape.
    """
    ratios: list[NDArray[np.float64]] = []
    for part, target, below in (("audio_video", 1.0, audio_below), ("visual_video", _VISUAL_TARGET, visual_below)):
        if part not in predictions or predictions[part].shape != weak.shape:
            raise InvalidInput(f"{source or 'predictions'}: needs {part} {list(weak.shape)} (videos, classes)")
        probability = predictions[part].astype(np.float64)
        noisy = weak & (target * probability < below * np.maximum(probability.mean(axis=0), _TINY))
        ratios.append(noisy.sum(axis=0) / np.maximum(weak.sum(axis=0), 1))
    facts = {"estimated": "jomold", "audio_below": audio_below, "visual_below": visual_below, "videos": len(weak)}
    return _ratios(name, dataset, ratios[0], ratios[1], facts, source=source)


def _ratios(
    name: str, dataset: DatasetDescription, audio: NDArray[Any], visual: NDArray[Any], facts: Mapping[str, Any], *,
    source: str,
) -> NoiseRatios:  # fmt: skip
    libraries = versions(PROVENANCE_LIBRARIES)
    origin = LabelProvenance(
        "jomold", _CODE_VERSION, "", facts, weights_source=source, libraries=libraries, created=now()
    )
    return NoiseRatios(name, origin, dataset.classes, audio.astype(np.float32), visual.astype(np.float32))
