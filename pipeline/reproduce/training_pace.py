"""How long a recipe trains, from seconds measured on two CPU cores."""

from __future__ import annotations

from pipeline.recipes.recipe import Recipe

TRAIN_CLIPS = {"parsing": 10_000, "localization": 3_339}
"""Clips in the training split of LLP and of AVE."""

SECONDS_PER_THOUSAND_CLIPS = {
    "avel-ave": 13,
    "avel-ave-supervised": 11,
    "avel-cmbs": 65,
    "avel-cmbs-supervised": 64,
    "avel-dmrn": 9.6,
    "avel-psp": 11,
    "avel-psp-supervised": 13,
    "han": 5.8,
    "leap-avel-ave": 11,
    "leap-avel-ave-supervised": 12,
    "leap-avel-cmbs": 76,
    "leap-avel-cmbs-supervised": 77,
    "leap-avel-psp": 11,
    "leap-avel-psp-supervised": 12,
    "leap-han": 15,
    "leap-han-no-avss": 15,
    "leap-mmpyr": 55,
    "leap-mmpyr-no-avss": 53,
    "mmcse": 93,
    "mmcse-clap-clip": 98,
    "mmcse-clap-clip-step": 95,
    "mmcse-mmpyr": 140,
    "mmcse-step": 110,
    "mmil-han": 5.2,
    "mmil-mmpyr": 33,
    "mmpyr": 46,
    "valor": 4.5,
    "valor-plus": 8.4,
    "valor-plusplus": 6.1,
}
"""By recipe, on two cores of a virtual machine with AVX2; measured by ``tests/benchmarks/training_pace.py``."""


def training_minutes(recipe: Recipe) -> float:
    """Minutes for all epochs of a recipe of ours on its dataset's training split, validation left out."""
    seconds = SECONDS_PER_THOUSAND_CLIPS[recipe.name]
    return recipe.train.epochs * TRAIN_CLIPS[recipe.task] / 1000 * seconds / 60
