"""Runs a model on all clips of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.datasets.dataset import Batch, ClipSet

_BATCH = 32


def forward(model: nn.Module, batch: Batch, labels: Tensor | None, device: torch.device) -> object:
    """Run a model on a batch."""
    features = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.features.items()}
    return model(**features, labels=labels)


def predict(
    model: nn.Module,
    clips: ClipSet[Any],
    labels: Tensor | None,
    *,
    parts: Sequence[str],
    device: torch.device | str = "cpu",
) -> dict[str, NDArray[np.float32]]:
    """Probabilities of all clips of a set, in evaluation mode.

    Args:
        model: on ``device``.
        clips: to look at.
        labels: text embeddings ``[classes, dim]`` on ``device``, or ``None``.
        parts: names of the model's outputs to keep; one that the model does not give is left out.
        device: where.

    Returns:
        By name: ``[clips, ...]`` each.
    """
    was_training = model.training
    model.eval()
    found: dict[str, list[NDArray[np.float32]]] = {part: [] for part in parts}
    with torch.inference_mode():
        for first in range(0, len(clips), _BATCH):
            batch = clips.batch(np.arange(first, min(first + _BATCH, len(clips))))
            out = forward(model, batch, labels, torch.device(device))
            for part, blocks in found.items():
                if (values := getattr(out, part)) is not None:
                    blocks.append(values.float().cpu().numpy())
    model.train(was_training)
    return {part: np.concatenate(blocks) for part, blocks in found.items() if blocks}
