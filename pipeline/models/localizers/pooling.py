"""Pools segment scores over time, for the label of the video."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.models.localizers.localization import Fused, Localized

PoolingName = Literal["max", "gated_mean", "top", "event"]
_TOP = 4


class MaxPooling(nn.Module):
    """The largest score of each class over time; a segment's class is its own largest score.

    Where the class of every segment is known, nothing is trained through it.

    Source: AVE's weakly supervised code (``W-A+V-att``).
    """

    def forward(self, scores: Tensor, fused: Fused) -> Localized:
        """Pool ``[clips, segments, classes]``."""
        return Localized(scores, None, scores.amax(dim=1).softmax(dim=-1))


class GatedMeanPooling(nn.Module):
    """The mean over time of scores that a gate, computed from the scores, scales by 1/2 to 1.

    The gate scales all classes of a segment alike, so it changes what the mean listens to, and no segment's class.

    Args:
        classes: with the background.

    Source: PSP's weakly supervised code, its weighting branch.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weight = nn.Linear(classes, 1, bias=False)

    def forward(self, scores: Tensor, fused: Fused) -> Localized:
        """Pool ``[clips, segments, classes]``."""
        weighted = scores * self.weight(scores).relu().sigmoid()
        return Localized(weighted, None, weighted.mean(dim=1).softmax(dim=-1))


class TopPooling(nn.Module):
    """The mean of each class's highest scores over time, scaled by the gate of the most eventful segment.

    The class of all segments is the video's; the gate alone says in which of them it happens. The published evaluation
    passes the gate through a sigmoid a second time, after which every segment has an event: that is a threshold of 0 on
    ``event``; the paper's is 0.5.

    Args:
        top: how many segments count.

    Source: CMBS's weakly supervised code.
    """

    def __init__(self, top: int = _TOP) -> None:
        super().__init__()
        self.top = top

    def forward(self, scores: Tensor, fused: Fused) -> Localized:
        """Pool ``[clips, segments, classes]``.

        Raises:
            ValueError: If the encoder gives no gates.
        """
        if fused.gate is None or fused.class_gate is None:
            raise ValueError("pooling top: this encoder gives no gates. Use it with cmbs")
        gated = fused.class_gate * scores
        video = gated.topk(min(self.top, gated.shape[1]), dim=1).values.mean(dim=1)
        pooled = (fused.gate[..., None] * video[:, None, :]).amax(dim=1).softmax(dim=-1)
        return Localized(video[:, None, :].expand_as(scores), fused.gate, pooled)


class EventPooling(nn.Module):
    """The class of the video for all segments, without the background; which of them have it, the encoder says.

    Scores of several segments count with the largest over time, a background's score does not count.

    Args:
        gamma: share of the class scores that the encoder has from each modality.

    Source: CMBS's fully supervised code. That LEAP's scores of segments count with the largest is our reading.
    """

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, scores: Tensor, fused: Fused) -> Localized:
        """Pool ``[clips, segments, events]``, or ``[clips, segments, classes]`` with the background last.

        Raises:
            ValueError: If the encoder gives no event scores.
        """
        if fused.event_scores is None or fused.stream_categories is None:
            raise ValueError("pooling event: this encoder gives no event scores. Use it with cmbs-supervised")
        streams = fused.stream_categories
        categories = scores.amax(dim=1)[:, : streams.shape[1]] + self.gamma * streams
        lowest = categories.amin(dim=1, keepdim=True)  # of the background, which the event scores alone decide
        every = torch.cat([categories, lowest], dim=1)[:, None, :].expand(-1, fused.segments.shape[1], -1)
        pooled = nn.functional.pad(categories.softmax(dim=-1), (0, 1))
        return Localized(
            every, fused.event_scores.sigmoid(), pooled, event_scores=fused.event_scores, gate=fused.gate,
            categories=categories, stream_categories=streams,
        )  # fmt: skip


def make_pooling(name: PoolingName, *, classes: int, gamma: float = 0.0) -> nn.Module:
    """The pooling with this name; ``gamma`` is of :class:`EventPooling`."""
    if name == "max":
        return MaxPooling()
    if name == "event":
        return EventPooling(gamma)
    return GatedMeanPooling(classes) if name == "gated_mean" else TopPooling()
