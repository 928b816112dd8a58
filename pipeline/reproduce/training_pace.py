"""How long a recipe trains, from seconds measured on two CPU cores."""

from __future__ import annotations

from pipeline.recipes.recipe import Recipe

TRAIN_CLIPS = {"parsing": 10_000, "localization": 3_339}
"""Clips in the training split of LLP and of AVE."""

SECONDS_PER_THOUSAND_CLIPS = {
    "han": 1.0,
}
"""By recipe, one pass forward and backward; ``tests/benchmarks/training_pace.py`` measures it."""

_OTHERS = 10.0


def training_minutes(recipe: Recipe) -> float:
    """Minutes for all epochs of a recipe on its dataset's training split, validation left out."""
    seconds = SECONDS_PER_THOUSAND_CLIPS.get(recipe.name, _OTHERS)
    return recipe.train.epochs * TRAIN_CLIPS[recipe.task] / 1000 * seconds / 60
