"""Measures how long a model takes for a video."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.models.config import ModelConfig
from pipeline.models.factory import build_model
from pipeline.models.info import one_clip
from pipeline.models.published_cost import FRAMES_A_SEGMENT

_WARM_UP = 3
_LEAST_RUNS = 5


@dataclass(frozen=True)
class Timing:
    """Time of a forward pass, in milliseconds a clip.

    Attributes:
        median: over the runs.
        fastest: of the runs.
        slowest: of the runs.
        runs: how many.
        clips: in a batch.
        device: where.
    """

    median: float
    fastest: float
    slowest: float
    runs: int
    clips: int
    device: str


def time_model(config: ModelConfig, *, device: str = "cpu", clips: int = 1, seconds: float = 3.0) -> Timing:
    """Time forward passes of a fresh model in evaluation mode, features in memory, 2D frames at 8 a second.

    Args:
        config: of the model.
        device: a name that torch knows.
        clips: in a batch.
        seconds: how long to measure, at least; five runs are made in any case.

    Raises:
        InvalidInput: If the configuration cannot be built.
    """
    place = torch.device(device)
    model = build_model(config).eval().to(place)
    batch = one_clip(config, clips=clips, frames_per_segment=FRAMES_A_SEGMENT)
    batch = {name: None if part is None else part.to(place) for name, part in batch.items()}
    with torch.inference_mode():
        for _ in range(_WARM_UP):
            _run(model, batch, place)
        taken, start = list[float](), time.perf_counter()
        while len(taken) < _LEAST_RUNS or time.perf_counter() - start < seconds:
            taken.append(1000 * _run(model, batch, place) / clips)
    return Timing(statistics.median(taken), min(taken), max(taken), len(taken), clips, device)


def _run(model: nn.Module, batch: dict[str, Tensor | None], device: torch.device) -> float:
    """Seconds of one pass, until the device has finished it."""
    start = time.perf_counter()
    model(**batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
