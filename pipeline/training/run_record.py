"""What a run's model is, as plain data: sizes, dataset, features and label embeddings. Reading it needs no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from pipeline.datasets.dataset_description import DatasetDescription, Seconds, Texts
from pipeline.recipes.recipe import Recipe
from pipeline.toml_tables import FORBID_EXTRA, Count, CountOrZero
from storage.schema import Modality, Provenance, Sampling

VERSION = 1
LEARNABLE = "learnable"
_BACKBONES = {"clap_map": "clap"}
"""Arrays of published folders that are not named as the backbone that makes them."""

_UNKNOWN = "unknown"
"""Weights of imported features, in a store."""


@dataclass(frozen=True, config=FORBID_EXTRA)
class FeatureRecord:
    """A feature array that the model reads.

    Attributes:
        array: its name in a store.
        dim: values a step.
        modality: of the backbone.
        backbone: what makes it, as ``avvp extract --backbone`` takes it.
        weights: identity of the backbone's weights, ``sha256:…`` or ``random:SEED``; empty where it is not known.
        sampling: of the frames.
        steps: of a clip; 0 where it is not known.
        source: ``media``; ``imported`` for published features; ``synthetic``; or the kept array that was read.
        code_version: of the extractor; empty where it is not known.
        preprocessing: what was done before the network.
    """

    array: str
    dim: Count
    modality: Modality
    backbone: str
    weights: str = ""
    sampling: Sampling = "published"
    steps: CountOrZero = 0
    source: str = "imported"
    code_version: str = ""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, config=FORBID_EXTRA)
class DatasetRecord:
    """The part of a dataset description that a model depends on."""

    name: str
    classes: Texts
    segments: Count
    clip_seconds: Seconds
    background: str = ""

    def description(self, *, source: str) -> DatasetDescription:
        """As a description without label files."""
        return DatasetDescription(
            self.name, self.classes, self.segments, self.clip_seconds, background=self.background, source=source
        )


@dataclass(frozen=True, config=FORBID_EXTRA)
class LabelsRecord:
    """Label embeddings that the model reads.

    Attributes:
        group: in a store's ``labels/``; ``learnable`` where the model has its own; empty where it reads none.
        dim: values a class.
        maker: embedder.
        weights: of the embedder.
        source: file or store that they were taken from; empty where the folder has none.
    """

    group: str = ""
    dim: CountOrZero = 0
    maker: str = ""
    weights: str = ""
    source: str = ""

    @property
    def needed(self) -> bool:
        """Whether the model must be given embeddings."""
        return self.group not in ("", LEARNABLE)


@dataclass(frozen=True, config=FORBID_EXTRA)
class RunRecord:
    """A run's model.

    Attributes:
        origin: ``trained`` here, or ``imported`` from a published checkpoint.
        model: its configuration in full, as :func:`pipeline.models.config_tables.model_config` reads it.
        dataset: whose classes it predicts, and the time grid.
        features: what it reads, by stream.
        labels: likewise.
        version: of this format.
    """

    origin: Literal["trained", "imported"]
    model: Mapping[str, Any]
    dataset: DatasetRecord
    features: Mapping[str, FeatureRecord]
    labels: LabelsRecord = field(default_factory=LabelsRecord)
    version: Count = VERSION

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def dataset_record(dataset: DatasetDescription) -> DatasetRecord:
    """The record of a description."""
    return DatasetRecord(
        dataset.name, dataset.classes, dataset.segments, float(dataset.clip_seconds), dataset.background
    )


def modality_of(stream: str) -> Modality:
    """Modality of ``audio``, ``visual_2d`` and ``visual_3d``."""
    return "audio" if stream == "audio" else "visual"


def stored_feature(stream: str, array: str, *, dim: int, steps: int, origin: Provenance) -> FeatureRecord:
    """The record of an array of a store."""
    return FeatureRecord(
        array=array, dim=dim, modality=modality_of(stream), backbone=_BACKBONES.get(origin.backbone, origin.backbone),
        weights="" if origin.weights == _UNKNOWN else origin.weights,
        sampling="published" if origin.sampling == "published" else "uniform",
        steps=steps, source=origin.source, code_version=origin.code_version, preprocessing=dict(origin.preprocessing),
    )  # fmt: skip


def published_features(recipe: Recipe, dims: Mapping[str, int]) -> dict[str, FeatureRecord]:
    """Records of the published features that a recipe names.

    Args:
        recipe: names arrays, and so backbones.
        dims: values a step, by stream.
    """
    return {
        stream: FeatureRecord(array, dims[stream], modality_of(stream), _BACKBONES.get(array, array))
        for stream, array in recipe.features.streams().items()
    }
