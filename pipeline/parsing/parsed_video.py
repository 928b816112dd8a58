"""The result of parsing: probabilities and decisions of each second, and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Modality = Literal["audio", "visual"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
RANDOM = "random:"
"""Begins the identity of weights that were never trained."""


@dataclass(frozen=True)
class Event:
    """One event: a class, heard or seen, from its first second to its last.

    Attributes:
        label: the class.
        modality: ``audio`` or ``visual``.
        start_seconds: on the file's own clock, as a player shows it.
        end_seconds: likewise; at most the file's end.
        mean: of the probability over its seconds.
        peak: largest probability.
    """

    label: str
    modality: Modality
    start_seconds: float
    end_seconds: float
    mean: float
    peak: float


@dataclass(frozen=True)
class ModelFacts:
    """What made the events.

    Attributes:
        name: for people: a run's folder, or the teachers of a zero-shot model.
        kind: ``run``, or ``zero-shot`` where nothing was trained on the dataset.
        description: one line.
        weights: identity of each network's weights by its name: ``sha256:…``, or ``random:SEED``.
        unknown: for each modality, the classes that this model cannot tell.
    """

    name: str
    kind: Literal["run", "zero-shot"]
    description: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[Modality, tuple[str, ...]] = field(default_factory=dict)

    @property
    def random(self) -> tuple[str, ...]:
        """Names of the networks whose weights are random numbers: their events mean nothing."""
        return tuple(name for name, identity in self.weights.items() if identity.startswith(RANDOM))


@dataclass(frozen=True, eq=False)
class ParsedVideo:
    """One parsed file.

    Attributes:
        path: of the file.
        duration_seconds: its length.
        model: what parsed it.
        classes: in the order of every array here.
        segment_seconds: length of a step of the grid; step ``i`` begins at ``i * segment_seconds``.
        probabilities: by modality, ``[segments, classes]`` float32, NaN in steps that were not looked at; a modality
            that the file lacks is absent.
        decided: the decisions, ``[segments, classes]`` bool, for the same modalities.
        events: by their start, then as the classes, audio before visual.
        notes: what a reader must know, as sentences: a modality that is missing, and why.
        settings: what the decisions depend on besides the model: thresholds, mask, hop and so on, as plain data.
        libraries: versions by distribution.
    """

    path: Path
    duration_seconds: float
    model: ModelFacts
    classes: tuple[str, ...]
    segment_seconds: float
    probabilities: Mapping[Modality, NDArray[np.float32]]
    decided: Mapping[Modality, NDArray[np.bool_]]
    events: tuple[Event, ...]
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)

    @property
    def segments(self) -> int:
        """Steps of the grid."""
        return max((len(grid) for grid in self.probabilities.values()), default=0)
