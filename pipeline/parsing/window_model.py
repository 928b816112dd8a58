"""The interface of models that parse windows of a fixed length: trained runs and zero-shot teachers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.decisions import Mask
from pipeline.parsing.parsed_video import Modality, ModelFacts
from storage.schema import Sampling

Floats = NDArray[np.float32]
PRETRAINED = "pretrained"


@dataclass(frozen=True)
class ModelInput:
    """A feature array that a model reads.

    Attributes:
        array: its name, in a store and in the argument of :meth:`WindowModel.predict`.
        backbone: what makes it, as ``avvp extract --backbone`` takes it.
        modality: of the backbone.
        weights: as ``--weights`` takes them, unless the user gives others.
        identity: of the weights that the model was trained on the features of; empty where any will do.
    """

    array: str
    backbone: str
    modality: Modality
    weights: str = PRETRAINED
    identity: str = ""


@dataclass(frozen=True, eq=False)
class WindowScores:
    """Probabilities of windows.

    Attributes:
        segment: by modality, ``[windows, segments, classes]`` float32.
        video: by name (``union_video``, ``audio_video``, ``visual_video``), ``[windows, classes]`` float32; those that
            the model gives.
    """

    segment: Mapping[Modality, Floats]
    video: Mapping[str, Floats]


class WindowModel(Protocol):
    """A model that parses windows.

    Attributes:
        facts: what it is.
        classes: in the order of its outputs.
        window_seconds: length of a window.
        segments: of a window.
        inputs: the arrays that it reads.
        sampling: of the frames that it was trained on.
        mask: which video probability a segment needs too, see :func:`pipeline.metrics.decisions.decide`.
        thresholds: by modality ``[classes]`` float64; a probability that equals its threshold counts.
    """

    facts: ModelFacts
    classes: tuple[str, ...]
    window_seconds: int
    segments: int
    inputs: tuple[ModelInput, ...]
    sampling: Sampling
    mask: Mask
    thresholds: Mapping[Modality, NDArray[np.float64]]

    def predict(self, features: Mapping[str, Floats]) -> WindowScores:
        """Probabilities of windows.

        Args:
            features: by name of :attr:`inputs`, ``[windows, steps, dim]`` without NaN. Steps past the end of the file
                repeat its last; an array of a modality that the file lacks holds zeros.
        """
        ...


def weights_for(backbone: str, given: Mapping[str, str], *, default: str = PRETRAINED) -> str:
    """The weights of a backbone, as ``--weights`` takes them.

    Args:
        backbone: its name, with its variant.
        given: by backbone. Its own come first, then those of its base name, then those of all backbones, at ``""``.
        default: where none of these are given.
    """
    names = (backbone, backbone.partition(":")[0], "")
    return next((given[name] for name in names if name in given), default)
