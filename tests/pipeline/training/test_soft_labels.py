"""Soft pseudo labels reach the batches of training as they are."""

import shutil
from dataclasses import replace

import numpy as np

from pipeline.datasets.dataset import load_split
from pipeline.recipes.recipe import FeaturesRecipe
from storage.labels import LabelStore
from storage.store import FeatureStore


def test_batches_have_soft_targets(made, annotations, tmp_path):
    shutil.copytree(made / "features.zarr", tmp_path / "s.zarr")
    labels = LabelStore.open(tmp_path / "s.zarr")
    hard = labels.read_pseudo_labels("valor")
    random = np.random.default_rng(0)
    soft = replace(hard, teacher="soft", audio=random.random(hard.audio.shape, dtype=np.float32),
                   visual=random.random(hard.visual.shape, dtype=np.float32))  # fmt: skip
    labels.write_pseudo_labels(soft)
    store = FeatureStore.open(tmp_path / "s.zarr")
    clips = load_split(store, annotations, FeaturesRecipe(pseudo_labels="soft"), "train", with_pseudo=True)
    batch = clips.batch(np.arange(3))
    np.testing.assert_array_equal(batch.audio.numpy(), soft.audio[clips.rows[:3]])
    np.testing.assert_array_equal(batch.visual.numpy(), soft.visual[clips.rows[:3]])
