"""Refuses, before a run begins, losses that its model or its labels cannot serve."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.models.config import LocalizerConfig, ModelConfig
from pipeline.models.info import one_clip
from pipeline.recipes.recipe import Recipe
from pipeline.training.losses import Targets, compute_loss


def check_losses(recipe: Recipe, model: nn.Module, config: ModelConfig) -> None:
    """Compute the recipe's losses of one clip without events, and forget them.

    Args:
        recipe: of the run; only parsing is checked.
        model: fresh; left in the mode that it was in.
        config: of the model.

    Raises:
        InvalidInput: If a loss needs an output that the model has not, or pseudo labels that the recipe does not name.
    """
    if isinstance(config, LocalizerConfig):
        return
    was_training = model.training
    with torch.no_grad():
        found = model.eval()(**one_clip(config))
    model.train(was_training)
    pseudo = torch.zeros(1, config.segments, config.classes) if recipe.features.pseudo_labels else None
    compute_loss(found, Targets(torch.zeros(1, config.classes), pseudo, pseudo), recipe.loss)
