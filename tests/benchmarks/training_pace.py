"""Seconds that each recipe trains on a thousand clips: what ``avvp reproduce --list`` estimates from.

    python tests/benchmarks/training_pace.py

Batches of random features in the published sizes, forward and backward with the recipe's losses, on a quiet machine.
Prints the table of ``pipeline/reproduce/training_pace.py``.
"""

from __future__ import annotations

import time

import torch

from pipeline.datasets.dataset import Batch
from pipeline.models.config import LEAPConfig, MMCSEConfig, ModelConfig
from pipeline.models.config_tables import model_config
from pipeline.models.factory import build_model
from pipeline.models.input_projection import CLAP_GRID
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
    features, labels, batch = inputs(config, recipe.train.batch_size)
    times = []
    for _ in range(STEPS):
        began = time.perf_counter()
        loss, _ = task.loss(model(**features, labels=labels), batch, recipe, torch.device("cpu"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return sorted(times[1:])[len(times[1:]) // 2] * 1000 / recipe.train.batch_size


def inputs(config: ModelConfig, clips: int) -> tuple[dict[str, torch.Tensor], torch.Tensor | None, Batch]:
    """Random features, label embeddings and targets as a loader gives them."""
    features, segments = config.features, config.segments
    steps = CLAP_GRID[0] * CLAP_GRID[1] if features.audio_map else segments
    found = {
        "audio": torch.rand(clips, steps, features.audio_dim),
        "visual_2d": torch.rand(clips, segments, features.visual_2d_dim),
    }
    if features.visual_3d_dim:
        found["visual_3d"] = torch.rand(clips, segments, features.visual_3d_dim)
    decoder = None if isinstance(config, MMCSEConfig) else config.decoder
    labels = torch.rand(config.classes, decoder.label_dim) if isinstance(decoder, LEAPConfig) else None
    weak = (torch.rand(clips, config.classes) < FREQUENCY).float()
    pseudo = (torch.rand(2, clips, segments, config.classes) < FREQUENCY).float()
    return found, labels, Batch({}, weak, pseudo[0], pseudo[1])


def main() -> None:
    torch.set_num_threads(THREADS)
    for name in shipped_recipes():
        print(f'    "{name}": {seconds_per_thousand_clips(load_recipe(name)):.2g},', flush=True)


if __name__ == "__main__":
    main()
