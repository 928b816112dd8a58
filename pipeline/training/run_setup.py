"""Prepares a run: the model's sizes, label embeddings, fresh weights, record and provenance."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.datasets.dataset import label_vectors
from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.models.config import LEAPConfig, LocalizerConfig, MMCSEConfig, ModelConfig
from pipeline.models.config_tables import model_config
from pipeline.models.decoders.mmcse import MMCSE
from pipeline.models.factory import build_model
from pipeline.models.localizers.localization import Localizer
from pipeline.models.parser import Parser
from pipeline.recipes.recipe import Recipe
from pipeline.training.run_record import (
    LEARNABLE,
    FeatureRecord,
    LabelsRecord,
    RunRecord,
    dataset_record,
    stored_feature,
)
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.store import FeatureStore

_PACKAGES = ("avvp-pipeline", "torch", "numpy", "accelerate", "zarr")


def sized_config(
    recipe: Recipe, store: FeatureStore, dataset: DatasetDescription, labels: Tensor | None
) -> ModelConfig:
    """The recipe's model with the sizes of the data: classes, segments, widths of features and of label embeddings.

    Raises:
        InvalidInput: If the model needs label embeddings and the recipe names none, or it cannot take the features.
    """
    config = model_config(recipe.model)
    if isinstance(config, LocalizerConfig) != (recipe.task == "localization"):
        raise InvalidInput(
            f"{recipe.name}: task is {recipe.task}, but its model is a {config.name}. Change one of them"
        )
    check_streams(recipe, config)
    dims = {f"{stream}_dim": store.spec(name).dim for stream, name in recipe.features.streams().items()}
    if isinstance(config, LocalizerConfig):
        _check_steps(recipe, store, dataset.segments)
    audio = store.spec(recipe.features.audio)
    audio_map = audio.steps % dataset.segments != 0
    if audio_map and audio.window_seconds is not None:
        raise InvalidInput(
            f"features.audio: {audio.name} has {audio.time_grid}, which do not fill {dataset.segments} segments. "
            "Name an array with a step a second, such as vggish"
        )
    features = replace(config.features, **dims, audio_map=audio_map)
    sized = replace(config, features=features, classes=len(dataset.classes), segments=dataset.segments)
    if isinstance(sized, MMCSEConfig) or not isinstance(sized.decoder, LEAPConfig):
        return sized
    return replace(sized, decoder=replace(sized.decoder, label_dim=0 if labels is None else labels.shape[1]))


def check_streams(recipe: Recipe, config: ModelConfig) -> None:
    """Raise InvalidInput if a recipe names no array for a stream that the model reads, or one that it does not read."""
    read = ("audio", "visual_2d") if isinstance(config, LocalizerConfig) else ("audio", "visual_2d", "visual_3d")
    named = recipe.features.streams()
    if wrong := [f"features.{stream}" for stream in read if stream not in named]:
        raise InvalidInput(f"{recipe.name}: {', '.join(wrong)} is empty, but this model reads it. Name an array")
    if wrong := [f"features.{stream}" for stream in named if stream not in read]:
        raise InvalidInput(f"{recipe.name}: {', '.join(wrong)} is not read by this model. Set it to an empty text")


def _check_steps(recipe: Recipe, store: FeatureStore, segments: int) -> None:
    """A localizer averages whatever it is given over segments."""
    for stream, name in recipe.features.streams().items():
        if (steps := store.spec(name).steps) % segments:
            raise InvalidInput(
                f"features.{stream}: {name} has {steps} steps, which do not fill {segments} segments. Name another"
            )


def reads_labels(recipe: Recipe) -> bool:
    """Whether the recipe's model reads label embeddings."""
    config = model_config(recipe.model)
    return not isinstance(config, MMCSEConfig) and isinstance(config.decoder, LEAPConfig)


def load_labels(recipe: Recipe, store: FeatureStore, dataset: DatasetDescription) -> Tensor | None:
    """The recipe's label embeddings; ``None`` where they are learned or the model needs none.

    Raises:
        InvalidInput: If the model needs them and the recipe names none.
    """
    if not reads_labels(recipe):
        return None
    if recipe.features.labels == LEARNABLE:
        return None
    if not recipe.features.labels:
        raise InvalidInput(
            f"{recipe.name}: LEAP needs label embeddings: set features.labels to a group of the store, or to learnable"
        )
    return label_vectors(store, recipe.features.labels, dataset.classes)


def fresh_model(config: ModelConfig, seed: int) -> Parser | MMCSE | Localizer:
    """A model with fresh weights that depend on the seed alone."""
    torch.manual_seed(seed)
    return build_model(config)


def run_record(recipe: Recipe, config: ModelConfig, store: FeatureStore, dataset: DatasetDescription) -> RunRecord:
    """The record of a model that is trained on a store.

    Args:
        recipe: names its arrays and label embeddings.
        config: of the model, see :func:`sized_config`.
        store: with these.
        dataset: whose classes it predicts.
    """
    labels = labels_record(recipe, store, dataset)
    return RunRecord("trained", asdict(config), dataset_record(dataset), stored_features(recipe, store), labels)


def stored_features(recipe: Recipe, store: FeatureStore) -> dict[str, FeatureRecord]:
    """Records of the arrays that a recipe reads, by stream."""
    found = {}
    for stream, name in recipe.features.streams().items():
        spec = store.spec(name)
        found[stream] = stored_feature(stream, name, dim=spec.dim, steps=spec.steps, origin=store.provenance(name))
    return found


def labels_record(recipe: Recipe, store: FeatureStore, dataset: DatasetDescription) -> LabelsRecord:
    """The record of a recipe's label embeddings in a store."""
    group = recipe.features.labels if reads_labels(recipe) else ""
    if group in ("", LEARNABLE):
        return LabelsRecord(group)
    found = LabelStore.open(store.url).read_embeddings(group, classes=dataset.classes)
    return LabelsRecord(group, found.spec.dim, found.provenance.maker, found.provenance.weights, store.url)


def provenance(recipe: Recipe, store: FeatureStore | None) -> dict[str, Any]:
    """Provenance of a run: arrays of the store, if there is one, code and packages."""
    arrays = {}
    if store is not None:
        for name in recipe.features.streams().values():
            arrays[name] = {"fingerprint": store.fingerprint(name), **store.provenance(name).to_json()}
    return {
        "store": "" if store is None else _absolute(store.url),
        "clip_table": "" if store is None else store.info.clip_table_hash,
        "arrays": arrays,
        "git": git_state(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "command": sys.argv,
    }


def _absolute(url: str) -> str:
    """A local path from the root, which is right from any folder; a URL as it is."""
    return url if "://" in url else str(Path(url).expanduser().absolute())


def git_state() -> dict[str, Any]:
    """Commit of the code, and whether files differ from it; empty outside a checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": commit.stdout.strip(), "changed_files": len(dirty.stdout.splitlines())}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"
