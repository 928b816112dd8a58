"""Makes the model of a run's folder: from the folder alone, or for the features of a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.models.config import LEAPConfig, MMCSEConfig, ModelConfig
from pipeline.models.config_tables import model_config
from pipeline.models.decoders.mmcse import MMCSE
from pipeline.models.factory import build_model
from pipeline.models.localizers.localization import Localizer
from pipeline.models.parser import Parser
from pipeline.recipes.recipe import Recipe
from pipeline.training.checkpoint import WEIGHTS, file_digest, find_checkpoint, load_weights
from pipeline.training.run_folder import BEST, RECIPE, RECORD, labels_of, recipe_of, record_of
from pipeline.training.run_record import FeatureRecord, RunRecord
from pipeline.training.run_setup import load_labels, sized_config
from storage.errors import InvalidInput
from storage.layout.label_schema import class_difference
from storage.store import FeatureStore

Network = Parser | MMCSE | Localizer


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A run's model and all that is needed to give it features and to read what it says.

    Attributes:
        folder: of the run.
        recipe: of the run; ``recipe.evaluate`` has the mask and the threshold, ``recipe.task`` what it predicts.
        dataset: classes, segments and clip length; no label files.
        model: in evaluation mode, float32, on the CPU. Call it as
            ``model(audio=…, visual_2d=…, visual_3d=…, labels=run.labels)``, streams ``[clips, steps, dim]``; a
            localizer takes no ``visual_3d``.
        labels: embeddings ``[classes, dim]`` float32; ``None`` where the model reads none.
        features: what each stream is, by the name of the argument.
        weights: ``sha256:…`` of the model's file.
        origin: ``trained`` here, or ``imported`` from a published checkpoint.
    """

    folder: Path
    recipe: Recipe
    dataset: DatasetDescription
    model: Network
    labels: Tensor | None
    features: Mapping[str, FeatureRecord]
    weights: str
    origin: Literal["trained", "imported"]


def load_run(folder: str | Path) -> LoadedRun:
    """Load a run from its folder alone; no store is opened.

    Args:
        folder: of a run that was trained, or of a checkpoint that ``avvp checkpoint import`` imported.

    Raises:
        InvalidInput: If it holds no run, a run of an earlier version (which has no ``model.json``), no finished
            epoch, or not the label embeddings that its model reads.
        WeightsError: If the weights are absent, damaged or of another model.
    """
    run = Path(folder)
    recipe, record = recipe_of(run), record_of(run)
    if record is None:
        raise InvalidInput(
            f"{run}: has no {RECORD}, which runs of earlier versions lack. Run the avvp train that made it once more: "
            "it adds the file and trains nothing anew"
        )
    labels = labels_of(run, record)
    if labels is None and record.labels.needed:
        raise InvalidInput(
            f"{run}: holds no label embeddings, and its model reads {record.labels.group}. Import the checkpoint "
            "again, with --labels FILE.npz or --store STORE"
        )
    config, best = _recorded_config(run, recipe, record), best_checkpoint(run)
    model = build_model(config)
    load_weights(best, model)
    return LoadedRun(
        folder=run, recipe=recipe, dataset=record.dataset.description(source=str(run / RECORD)), model=model.eval(),
        labels=None if labels is None else torch.from_numpy(labels), features=record.features,
        weights=weights_identity(best), origin=record.origin,
    )  # fmt: skip


def model_for_store(run: Path, store: FeatureStore, dataset: DatasetDescription) -> tuple[Network, Tensor | None]:
    """A run's model and label embeddings, to predict clips of a store.

    The embeddings are those in the folder; a run of an earlier version and a checkpoint that was imported without any
    take the store's.

    Args:
        run: its folder.
        store: with the recipe's arrays, as many values a step as the model reads.
        dataset: of the annotations; its classes must be the model's.

    Raises:
        InvalidInput: If the folder holds no run or no finished epoch, or store or dataset do not fit the model.
        WeightsError: If the weights are absent, damaged or of another model.
    """
    recipe, record, best = recipe_of(run), record_of(run), best_checkpoint(run)
    if record is not None:
        _check_dataset(run, record, dataset)
    vectors = None if record is None else labels_of(run, record)
    labels = load_labels(recipe, store, dataset) if vectors is None else torch.from_numpy(vectors)
    config = sized_config(recipe, store, dataset, labels)
    if record is not None:
        _check_sizes(run, record, config, store, labels)
        config = _recorded_config(run, recipe, record, audio_map=config.features.audio_map)
    model = build_model(config)
    load_weights(best, model)
    return model.eval(), labels


def best_checkpoint(run: Path) -> Path:
    """The checkpoint of a run's best epoch.

    Raises:
        InvalidInput: If there is none yet.
    """
    best = find_checkpoint(run / BEST)
    if best is None:
        raise InvalidInput(f"{run}: has no finished epoch yet")
    return best


def weights_identity(checkpoint: Path) -> str:
    """``sha256:…`` of a checkpoint's weights."""
    return f"sha256:{file_digest(checkpoint / WEIGHTS)}"


def _check_dataset(run: Path, record: RunRecord, dataset: DatasetDescription) -> None:
    if record.dataset.classes != dataset.classes:
        raise InvalidInput(
            f"{run}: {dataset.name} {class_difference(dataset.classes, record.dataset.classes)}. Its model predicts "
            f"those of {record.dataset.name}: give that description with --dataset"
        )
    if record.dataset.segments != dataset.segments:
        raise InvalidInput(
            f"{run}: its model predicts {record.dataset.segments} segments of {record.dataset.name}, "
            f"{dataset.name} has {dataset.segments}. Give that description with --dataset"
        )


def _recorded_config(run: Path, recipe: Recipe, record: RunRecord, *, audio_map: bool = False) -> ModelConfig:
    """The model's own configuration, after a check that the recipe is still for this model.

    Args:
        run: its folder.
        recipe: of the run.
        record: likewise.
        audio_map: whether audio comes as a map even if it did not in training; the weights are the same.
    """
    recorded, named = model_config(record.model), model_config(recipe.model)
    features = recorded.features
    named = replace(named, features=features, classes=recorded.classes, segments=recorded.segments)
    if not isinstance(named, MMCSEConfig) and isinstance(named.decoder, LEAPConfig):
        named = replace(named, decoder=replace(named.decoder, label_dim=record.labels.dim))
    if named != recorded:
        raise InvalidInput(f"{run}: {RECIPE} and {RECORD} are of different models. Put back the one that was changed")
    return replace(recorded, features=replace(features, audio_map=features.audio_map or audio_map))


def _check_sizes(run: Path, record: RunRecord, found: ModelConfig, store: FeatureStore, labels: Tensor | None) -> None:
    """Compare what the model reads with what a store has."""
    for stream, feature in record.features.items():
        dim = getattr(found.features, f"{stream}_dim")
        if dim != feature.dim:
            name = recipe_of(run).features.streams().get(stream, feature.array)
            raise InvalidInput(
                f"{store.url}: {name} has {dim} values a step, the model of {run} reads {feature.dim}. "
                "Give another --store"
            )
    if labels is not None and labels.shape[1] != record.labels.dim:
        raise InvalidInput(
            f"{store.url}: labels/{record.labels.group} has {labels.shape[1]} values a class, the model of {run} reads "
            f"{record.labels.dim}. Make the others: avvp labels"
        )
