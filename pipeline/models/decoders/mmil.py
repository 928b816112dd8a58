"""The MMIL decoder: segment probabilities, and attentive pooling over time and modality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.models.predictions import Encoded, Predictions


class MMILDecoder(nn.Module):
    """Class probabilities per segment, and two attentions that pool them over time and over modalities.

    The three linear layers are one, rows in the order probability, time, modality; the modalities share it.

    Args:
        dim: of a segment.
        classes: how many.

    Source: HAN (Tian et al., ECCV 2020, https://arxiv.org/abs/2007.10558), attentive MMIL pooling.
    """

    def __init__(self, dim: int, *, classes: int = 25) -> None:
        super().__init__()
        self.heads = nn.Linear(dim, 3 * classes)

    def forward(self, streams: Encoded, labels: Tensor | None = None) -> Predictions:
        """Decode ``[clips, segments, dim]`` a stream; ``labels`` are not used."""
        logits, time, modality = self.heads(torch.stack(streams, dim=2)).chunk(3, dim=-1)
        return pool(logits, time, modality)


def pool(logits: Tensor, time: Tensor, modality: Tensor) -> Predictions:
    """Pool segment logits over time and modality.

    Args:
        logits: ``[clips, segments, 2, classes]``, audio first.
        time: the same shape, before the softmax over segments.
        modality: the same shape, before the softmax over the two.

    Returns:
        Probabilities. The union is not a convex combination of the segments' and may exceed 1, as published.
    """
    segment = logits.sigmoid()
    over_time = time.softmax(dim=1) * segment
    video = over_time.sum(dim=1)
    return Predictions(
        audio_segment=segment[:, :, 0],
        visual_segment=segment[:, :, 1],
        audio_video=video[:, 0],
        visual_video=video[:, 1],
        union_video=(over_time * modality.softmax(dim=2)).sum(dim=(1, 2)),
        audio_logits=logits[:, :, 0],
        visual_logits=logits[:, :, 1],
    )
