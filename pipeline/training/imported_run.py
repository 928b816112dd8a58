"""Makes a run's folder of a published checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline.datasets.dataset import check_features
from pipeline.datasets.dataset_description import DatasetDescription, load_description
from pipeline.models.config import OFFICIAL, LEAPConfig, LocalizerConfig, MMCSEConfig, ModelConfig
from pipeline.models.config_tables import known, model_config, parts_of, system_table
from pipeline.models.decoders.mmcse import MMCSE
from pipeline.models.encoders.han import Norm
from pipeline.models.factory import build_model
from pipeline.models.localizers.localization import Localizer
from pipeline.models.official.loading import OfficialModel, read_official
from pipeline.models.official.state_file import read_checkpoint
from pipeline.models.parser import Parser
from pipeline.recipes.recipe import Recipe, load_recipe, with_changes
from pipeline.training.checkpoint import file_digest, save_checkpoint
from pipeline.training.run_folder import BEST, write_run
from pipeline.training.run_record import (
    LEARNABLE,
    FeatureRecord,
    LabelsRecord,
    RunRecord,
    dataset_record,
    published_features,
)
from pipeline.training.run_setup import check_streams, labels_record, provenance, stored_features
from storage.errors import InvalidInput
from storage.foreign_files import reason_of
from storage.labels import LabelStore
from storage.store import FeatureStore

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GivenLabels:
    """Label embeddings that the user gives.

    Attributes:
        vectors: ``[classes, dim]``, in the order of the dataset's classes.
        source: the file.
        weights: ``sha256:…`` of it.
    """

    vectors: Floats
    source: str
    weights: str


@dataclass(frozen=True)
class ImportedRun:
    """Result of an import.

    Attributes:
        folder: of the run.
        recipe: of the run.
        record: of the model.
        parameters: their number.
    """

    folder: Path
    recipe: Recipe
    record: RunRecord
    parameters: int


def dataset_of(system: str) -> str:
    """The dataset that a published system was trained on: AVE for localizers, LLP for parsers.

    Raises:
        InvalidInput: If there is no such system.
    """
    return "ave" if isinstance(OFFICIAL[known(system, OFFICIAL, "system")], LocalizerConfig) else "llp"


def import_official(
    system: str, official: str | Path, out: Path, *, norm: Norm = "post", recipe: str = "",
    changes: Sequence[str] = (), store_url: str | None = None, labels: GivenLabels | None = None,
) -> ImportedRun:  # fmt: skip
    """Make a run's folder of a published checkpoint: recipe, provenance, record, label embeddings and weights.

    Args:
        system: a name of :data:`pipeline.models.config.OFFICIAL`.
        official: the published file, see :func:`pipeline.models.official.state_file.read_checkpoint`.
        out: the folder, made whole or not at all.
        norm: VALOR only, see :func:`pipeline.models.official.loading.load_official`.
        recipe: names the arrays, the mask and the threshold, and how to train on; its model gives way to the
            checkpoint's. Empty for the shipped one of the system's name.
        changes: ``key=value``, the last word, see :func:`pipeline.recipes.recipe.load_recipe`.
        store_url: a store with the recipe's arrays: says what made them, and has LEAP's label embeddings.
        labels: LEAP's label embeddings, rather than the store's.

    Raises:
        WeightsError: If the file cannot be read or is not of this system.
        InvalidInput: If ``out`` is there, or recipe, store or labels do not fit the checkpoint.
    """
    dataset = load_description(dataset_of(system))  # before a large file is read
    if out.exists():
        raise InvalidInput(f"{out}: already exists. Choose another folder")
    found = read_official(system, read_checkpoint(official), norm=norm, where=f"{official}, as {system}")
    chosen = _recipe_of(system, found.config, recipe, changes)
    config, model = _with_recipe(found, chosen, dataset)
    store = None if store_url is None else _fitting_store(store_url, chosen, config)
    vectors, of_labels = _labels_of(chosen, config, store, dataset, labels)
    record = RunRecord(
        "imported", asdict(config), dataset_record(dataset), _features_of(chosen, config, store), of_labels
    )
    origin = {"system": system, "file": str(Path(official).absolute()), "sha256": file_digest(Path(official))}
    facts = provenance(chosen, store) | {"imported": {**origin, "norm": norm}}
    _write(out, chosen, facts, record, vectors, model)
    return ImportedRun(out, chosen, record, sum(parameter.numel() for parameter in model.parameters()))


def _recipe_of(system: str, config: ModelConfig, recipe: str, changes: Sequence[str]) -> Recipe:
    """The recipe with the model that was found."""
    base = load_recipe(recipe or system)
    task = "localization" if isinstance(config, LocalizerConfig) else "parsing"
    if base.task != task or parts_of(model_config(base.model)) != parts_of(config):
        raise InvalidInput(f"--recipe {recipe}: is for another model than {system}. Give a recipe for {system}")
    return with_changes(replace(base, model=system_table(system, config)), changes)


def _with_recipe(
    found: OfficialModel, recipe: Recipe, dataset: DatasetDescription
) -> tuple[ModelConfig, Parser | MMCSE | Localizer]:
    """The model as the recipe has it: ``--set`` may change what has no weights."""
    config = model_config(recipe.model)
    check_streams(recipe, config)
    if config == found.config:
        return found
    if config.segments != dataset.segments:
        raise InvalidInput(f"--set model.segments: {dataset.name} has {dataset.segments}, got {config.segments}")
    model = build_model(config)
    try:
        model.load_state_dict(found.model.state_dict())
    except RuntimeError as problem:
        lines = str(problem).splitlines()
        shown = reason_of(ValueError(lines[1].strip() if len(lines) > 1 else lines[0]))
        raise InvalidInput(f"--set: the checkpoint does not fit such a model: {shown}") from None
    return config, model.eval()


def _fitting_store(url: str, recipe: Recipe, config: ModelConfig) -> FeatureStore:
    """A store whose arrays the model can read."""
    store = FeatureStore.open(url)
    check_features(store, recipe.features)
    for stream, name in recipe.features.streams().items():
        dim, expected = store.spec(name).dim, getattr(config.features, f"{stream}_dim")
        if dim != expected:
            raise InvalidInput(
                f"{url}: {name} has {dim} values a step, the checkpoint reads {expected}. Give another --store, or "
                f"--set features.{stream}=ARRAY"
            )
    return store


def _features_of(recipe: Recipe, config: ModelConfig, store: FeatureStore | None) -> dict[str, FeatureRecord]:
    """From the store; without one, the published backbones by the names of their arrays."""
    if store is not None:
        return stored_features(recipe, store)
    return published_features(
        recipe, {stream: getattr(config.features, f"{stream}_dim") for stream in recipe.features.streams()}
    )


def _labels_of(
    recipe: Recipe, config: ModelConfig, store: FeatureStore | None, dataset: DatasetDescription,
    given: GivenLabels | None,
) -> tuple[Floats | None, LabelsRecord]:  # fmt: skip
    """Label embeddings to keep in the folder, and their record."""
    if isinstance(config, MMCSEConfig) or not isinstance(config.decoder, LEAPConfig):
        if given is not None:
            raise InvalidInput(f"--labels {given.source}: {recipe.name} reads no label embeddings. Leave it out")
        return None, LabelsRecord()
    group, dim = recipe.features.labels, config.decoder.label_dim
    if group in ("", LEARNABLE):
        raise InvalidInput(f"features.labels={group}: the checkpoint reads embeddings. Name a group, such as glove")
    if given is not None:
        vectors, record = given.vectors, LabelsRecord(group, given.vectors.shape[1], "", given.weights, given.source)
    elif store is not None:
        vectors = LabelStore.open(store.url).read_embeddings(group, classes=dataset.classes).vectors
        record = labels_record(recipe, store, dataset)
    else:
        return None, LabelsRecord(group, dim)
    if record.dim != dim:
        raise InvalidInput(
            f"{record.source}: the label embeddings have {record.dim} values a class, the checkpoint reads {dim}. Give "
            "others: --labels FILE.npz, or --set features.labels=GROUP of the store"
        )
    return vectors, record


def _write(
    out: Path, recipe: Recipe, facts: Mapping[str, Any], record: RunRecord, labels: Floats | None, model: nn.Module
) -> None:
    """Write the folder beside its place, then move it there."""
    half = out.with_name(f".{out.name}.partial")
    shutil.rmtree(half, ignore_errors=True)
    write_run(half, recipe, facts, record, labels)
    save_checkpoint(half / BEST, model)
    half.rename(out)
