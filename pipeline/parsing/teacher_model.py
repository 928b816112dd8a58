"""What zero-shot models have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.metrics.decisions import Mask
from pipeline.parsing.parsed_video import Modality, ModelFacts
from pipeline.parsing.window_model import ModelInput
from storage.schema import Sampling


@dataclass(eq=False, kw_only=True)
class TeacherModel:
    """The attributes of :class:`pipeline.parsing.window_model.WindowModel`; subclasses add :meth:`predict`."""

    facts: ModelFacts
    classes: tuple[str, ...]
    window_seconds: int
    segments: int
    inputs: tuple[ModelInput, ...]
    thresholds: Mapping[Modality, NDArray[np.float64]]
    sampling: Sampling = "uniform"
    mask: Mask = "none"


def is_by_the_second(dataset: DatasetDescription) -> bool:
    """Whether the segments of a dataset are seconds, as the steps of the teachers are."""
    return dataset.segments == dataset.clip_seconds
