"""Opens a run's model together with the clips that it is to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.datasets.clip_labels import ClipLabels
from pipeline.datasets.dataset import ClipSet, Missing, check_features, load_split
from pipeline.training.loaded_run import Network, model_for_store
from pipeline.training.run_folder import recipe_of
from storage.store import FeatureStore


def model_and_clips(
    run: Path, store: FeatureStore, annotations: ClipLabels, split: str, *, missing: Missing = "skip"
) -> tuple[Network, Tensor | None, ClipSet[Any]]:
    """A run's model, the label embeddings that it reads, and the clips of a split.

    Args:
        run: its folder.
        store: with the recipe's features.
        annotations: of the dataset.
        split: whose clips.
        missing: ``skip`` clips that lack a feature, or call it an ``error``.

    Raises:
        InvalidInput: If the folder holds no run, or the store or the annotations do not fit its model.
    """
    recipe = recipe_of(run)
    check_features(store, recipe.features)
    model, labels = model_for_store(run, store, annotations.dataset)
    return model, labels, load_split(store, annotations, recipe.features, split, missing=missing)
