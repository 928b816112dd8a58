"""Optimizers and learning rates by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from pipeline.recipes.recipe import TrainRecipe


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: TrainRecipe) -> torch.optim.Optimizer:
    """Adam or AdamW, in one fused step."""
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    # weight_decay of Adam is L2; no published recipe uses it.
    return kind(parameters, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True)


def learning_rate(recipe: TrainRecipe, epoch: int) -> float:
    """The rate in force during an epoch.

    Args:
        recipe: schedule and numbers.
        epoch: from 1. The published StepLR(10, 0.1) code lowers it after epochs 10, 20 …; VALOR's warm-up gives
            epoch e of the first 10 the share e / 10.
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "step":
        return recipe.learning_rate * recipe.step_gamma ** ((epoch - 1) // recipe.step_epochs)
    if recipe.schedule == "milestones":
        return recipe.learning_rate * recipe.step_gamma ** sum(epoch > last for last in recipe.milestones)
    if epoch <= recipe.warmup_epochs:
        return recipe.learning_rate * epoch / recipe.warmup_epochs
    share = (epoch - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1)
    span = recipe.learning_rate - recipe.lowest_learning_rate
    return recipe.lowest_learning_rate + span * (1 + math.cos(math.pi * share)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Put a rate into every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
