"""Visual attention of CMBS: self-attention over positions, then audio-guided channel and spatial attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.models.dropout import Dropout

_QUERY_SHARE = 4
"""Queries and keys have a quarter of the channels."""


class GridSelfAttention(nn.Module):
    """Positions of a grid attend to each other; ``[grids, positions, channels]`` to the same.

    One head, and no scaling of the scores, as published.
    """

    def __init__(self, channels: int, *, dropout: float) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels // _QUERY_SHARE)
        self.key = nn.Linear(channels, channels // _QUERY_SHARE)
        self.value = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.dropout = Dropout(dropout)

    def forward(self, grid: Tensor) -> Tensor:
        """Attend, add, normalise."""
        weights = (self.query(grid) @ self.key(grid).transpose(1, 2)).softmax(dim=-1)
        attended: Tensor = self.norm(grid + self.dropout(weights @ self.value(grid)))
        return attended


class PositionAttention(nn.Module):
    """A mean over positions, weighted by their similarity to one vector.

    Args:
        channels: of a position.
        guide_dim: of the vector.
        hidden: in which the two are multiplied.
    """

    def __init__(self, channels: int, guide_dim: int, *, hidden: int) -> None:
        super().__init__()
        self.visual = nn.Linear(channels, hidden)
        self.guide = nn.Linear(guide_dim, hidden)
        self.weight = nn.Linear(hidden, 1)

    def forward(self, grid: Tensor, guide: Tensor) -> Tensor:
        """``[grids, positions, channels]`` and ``[grids, guide_dim]`` to ``[grids, channels]``."""
        agreed = self.visual(grid).relu() * self.guide(guide).relu()[:, None, :]
        weights = self.weight(agreed).tanh().softmax(dim=1)
        attended: Tensor = (weights * grid).sum(dim=1)
        return attended


class SpatialChannelAttention(nn.Module):
    """Reduces a grid to one vector per segment: audio weights channels, then positions; the picture gates the result.

    The channel weights are found on the grid after its self-attention and applied to the grid before it. The gate is
    the picture's own summary: its positions weighed by their mean.

    Args:
        audio_dim: of a segment.
        channels: of a position.
        beta: strength of the gate.
        hidden: of the attentions.
        dropout: of the self-attention.

    Source: Xia and Zhao, Cross-modal background suppression for audio-visual event localization, CVPR 2022; its
    published code, which differs from the paper, as a note in it says.
    """

    def __init__(self, audio_dim: int, channels: int, *, beta: float, hidden: int = 256, dropout: float = 0.2) -> None:
        super().__init__()
        self.beta = beta
        self.self_attention = GridSelfAttention(channels, dropout=dropout)
        self.summary = PositionAttention(channels, channels, hidden=hidden)
        self.audio_to_channels, self.visual_to_channels = nn.Linear(audio_dim, channels), nn.Linear(channels, channels)
        self.channel_weights = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        )
        self.positions = PositionAttention(channels, audio_dim, hidden=hidden)

    def forward(self, audio: Tensor, grid: Tensor) -> Tensor:
        """Attend.

        Args:
            audio: ``[clips, segments, audio_dim]``.
            grid: ``[clips, segments, positions, channels]``.

        Returns:
            ``[clips, segments, channels]``.
        """
        heard, seen = audio.flatten(0, 1), grid.flatten(0, 1)
        among = self.self_attention(seen)
        summary = self.summary(among, among.mean(dim=1))
        agreed = self.visual_to_channels(among).relu() * self.audio_to_channels(heard).relu()[:, None, :]
        weights = self.channel_weights(agreed.mean(dim=1))
        attended = self.positions(seen * (weights[:, None, :] + 1), heard)
        gated = attended * (1 + self.beta * summary.sigmoid())
        return torch.unflatten(gated, 0, audio.shape[:2])
