"""PSP's encoder: positive sample propagation between similar segments of the two modalities."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pipeline.models.dropout import Dropout
from pipeline.models.encoders.ave import AudioGuidedAttention, TemporalLSTMs
from pipeline.models.localizers.localization import Fused
from pipeline.models.predictions import Encoded

_EPS = 1e-8
_NORM_EPS = 1e-6


class PositivePropagation(nn.Module):
    """Adds features from segments of the other modality whose similarity is above a threshold.

    In the weakly supervised code, what is left of a row after pruning is not normalised again, and no linear layer
    follows; in the fully supervised code, both are so. One layer norm serves both modalities.

    Args:
        dim: of a segment.
        threshold: a similarity must be larger, where those of a segment add up to 1.
        dropout: on the projected features.
        supervised: whether rows are normalised again, and a linear layer of each modality follows.

    Source: Zhou et al., Positive sample propagation along the audio-visual event line, CVPR 2021
    (https://arxiv.org/abs/2104.00239), positive sample propagation; its published code.
    """

    def __init__(self, dim: int, *, threshold: float, dropout: float = 0.1, supervised: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.audio_key, self.audio_value = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.visual_key, self.visual_value = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.audio_output = nn.Linear(dim, dim, bias=False) if supervised else None
        self.visual_output = nn.Linear(dim, dim, bias=False) if supervised else None
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter)

    def forward(self, streams: Encoded) -> Encoded:
        """``[clips, segments, dim]`` a stream to the same."""
        audio, visual = streams
        audio_key, audio_value = (self._project(layer, audio) for layer in (self.audio_key, self.audio_value))
        visual_key, visual_value = (self._project(layer, visual) for layer in (self.visual_key, self.visual_value))
        similar = (visual_key @ audio_key.transpose(1, 2) / math.sqrt(visual_key.shape[-1])).relu()
        visual = visual + self.pruned(similar) @ audio_value
        audio = audio + self.pruned(similar.transpose(1, 2)) @ visual_value
        if self.audio_output is not None and self.visual_output is not None:
            audio, visual = self._project(self.audio_output, audio), self._project(self.visual_output, visual)
        return Encoded(self.norm(audio), self.norm(visual))

    def pruned(self, similar: Tensor) -> Tensor:
        """Rows ``[clips, segments, segments]`` that add up to 1, without the entries at or below the threshold.

        What is left adds up to 1 again in the supervised form.
        """
        shares = similar / (similar.sum(dim=-1, keepdim=True) + _EPS)
        shares = torch.where(shares > self.threshold, shares, 0.0)
        return shares if self.audio_output is None else shares / (shares.sum(dim=-1, keepdim=True) + _EPS)

    def _project(self, layer: nn.Linear, stream: Tensor) -> Tensor:
        projected: Tensor = self.dropout(layer(stream).relu())
        return projected


class PSPEncoder(nn.Module):
    """Audio-guided attention, an LSTM for each modality, positive sample propagation, and the mean of the two.

    Args:
        audio_dim: of a segment; the attended picture is brought to the same width.
        channels: of a position of the grid.
        positions: of the grid.
        hidden: of an LSTM in each direction; the fused segments are twice as wide.
        threshold: of :class:`PositivePropagation`.
        dropout: likewise.

    Source: Zhou et al., CVPR 2021 (https://arxiv.org/abs/2104.00239); its published weakly supervised code.
    """

    def __init__(
        self, audio_dim: int, channels: int, *, positions: int, hidden: int = 128, threshold: float = 0.095,
        dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim = 2 * hidden
        self.attention = AudioGuidedAttention(audio_dim, channels, positions=positions)
        self.narrow = nn.Linear(channels, audio_dim)
        self.temporal = TemporalLSTMs(audio_dim, audio_dim, hidden=hidden)
        self.propagation = PositivePropagation(self.dim, threshold=threshold, dropout=dropout)

    def forward(self, audio: Tensor, grid: Tensor) -> Fused:
        """See :class:`pipeline.models.localizers.localization.Localizer`."""
        visual = self.narrow(self.attention(audio, grid))
        streams = self.propagation(self.temporal(audio, visual))
        return Fused((streams.audio + streams.visual) / 2)
