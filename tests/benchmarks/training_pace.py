"""Seconds that each recipe trains on a thousand clips: what ``avvp reproduce --list`` estimates from.

    python tests/benchmarks/training_pace.py

Batches of random features in the published sizes, forward and backward with the recipe's losses, on a quiet machine.
Prints the table of ``pipeline/reproduce/training_pace.py``.
"""

from __future__ import annotations

import time

import torch

from pipeline.datasets.dataset import Batch
from pipeline.models.config import ModelConfig
from pipeline.models.config_tables import model_config
from pipeline.models.factory import build_model
from pipeline.models.info import one_clip
from pipeline.recipes.recipe import Recipe, load_recipe
from pipeline.recipes.shipped_recipes import shipped_recipes
from pipeline.training.optim import make_optimizer
from pipeline.training.tasks import task_of

STEPS = 4
THREADS = 2
FREQUENCY = 0.1


def seconds_per_thousand_clips(recipe: Recipe) -> float:
    """The median of a few steps, the first left out."""
    torch.manual_seed(0)
    config, task = model_config(recipe.model), task_of(recipe)
    model = build_model(config).train()
    optimizer = make_optimizer(model.parameters(), recipe.train)
    features = {name: torch.rand_like(part) for name, part in one_clip(config, clips=recipe.train.batch_size).items()
                if part is not None}  # fmt: skip
    batch = targets(config, recipe.train.batch_size)
    times = []
    for _ in range(STEPS):
        began = time.perf_counter()
        loss, _ = task.loss(model(**{"labels": None, **features}), batch, recipe, torch.device("cpu"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return sorted(times[1:])[len(times[1:]) // 2] * 1000 / recipe.train.batch_size


def targets(config: ModelConfig, clips: int) -> Batch:
    """Random weak labels, pseudo labels and classes of segments."""
    weak = (torch.rand(clips, config.classes) < FREQUENCY).float()
    pseudo = (torch.rand(2, clips, config.segments, config.classes) < FREQUENCY).float()
    segments = torch.randint(0, config.classes, (clips, config.segments))
    return Batch({}, weak, pseudo[0], pseudo[1], segments)


def main() -> None:
    torch.set_num_threads(THREADS)
    for name in shipped_recipes():
        print(f'    "{name}": {seconds_per_thousand_clips(load_recipe(name)):.2g},', flush=True)


if __name__ == "__main__":
    main()
