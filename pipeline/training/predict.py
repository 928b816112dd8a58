"""What a model says of a whole split."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.data.dataset import Batch, ClipSet

PARTS = ("audio_segment", "visual_segment", "union_video", "audio_video", "visual_video")
_BATCH = 32


def forward(model: nn.Module, batch: Batch, labels: Tensor | None, device: torch.device) -> object:
    """Run a model on a batch."""
    features = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.features.items()}
    return model(**features, labels=labels)


def predict(
    model: nn.Module, clips: ClipSet, labels: Tensor | None, *, device: torch.device | str = "cpu"
) -> dict[str, NDArray[np.float32]]:
    """Probabilities of all clips of a set, in evaluation mode.

    Args:
        model: on ``device``.
        clips: to look at.
        labels: text embeddings ``[classes, dim]`` on ``device``, or ``None``.
        device: where.

    Returns:
        By name of :data:`PARTS`: ``[clips, segments, classes]`` for segments, ``[clips, classes]`` for videos.
    """
    was_training = model.training
    model.eval()
    found: dict[str, list[NDArray[np.float32]]] = {part: [] for part in PARTS}
    with torch.inference_mode():
        for first in range(0, len(clips), _BATCH):
            batch = clips.batch(np.arange(first, min(first + _BATCH, len(clips))))
            out = forward(model, batch, labels, torch.device(device))
            for part, blocks in found.items():
                blocks.append(getattr(out, part).float().cpu().numpy())
    model.train(was_training)
    return {part: np.concatenate(blocks) for part, blocks in found.items()}
