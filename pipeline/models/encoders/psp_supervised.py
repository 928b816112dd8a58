"""Fully supervised PSP's encoder: both inputs pass two linear layers, and the streams' similarity is kept."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from pipeline.models.encoders.ave import AudioGuidedAttention, TemporalLSTMs
from pipeline.models.encoders.psp import PositivePropagation
from pipeline.models.localizers.localization import Fused

_MIDDLE = 256


class PSPSupervisedEncoder(nn.Module):
    """Linear layers, audio-guided attention, LSTMs, positive sample propagation, and the mean of the two streams.

    The layers before the LSTMs have neither bias nor activation, as published.

    Args:
        audio_dim: of a segment.
        channels: of a position of the grid.
        positions: of the grid.
        hidden: of an LSTM in each direction, and of its input; the fused segments are twice as wide.
        threshold: of :class:`pipeline.models.encoders.psp.PositivePropagation`.
        dropout: likewise.

    Source: Zhou et al., CVPR 2021 (https://arxiv.org/abs/2104.00239); its published fully supervised code.
    """

    def __init__(
        self, audio_dim: int, channels: int, *, positions: int, hidden: int = 128, threshold: float = 0.099,
        dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim = 2 * hidden
        self.audio, self.visual = (
            nn.Sequential(nn.Linear(dim, _MIDDLE, bias=False), nn.Linear(_MIDDLE, hidden, bias=False))
            for dim in (audio_dim, channels)
        )
        self.attention = AudioGuidedAttention(hidden, channels, positions=positions)
        self.temporal = TemporalLSTMs(hidden, hidden, hidden=hidden)
        self.propagation = PositivePropagation(self.dim, threshold=threshold, dropout=dropout, supervised=True)

    def forward(self, audio: Tensor, grid: Tensor) -> Fused:
        """See :class:`pipeline.models.localizers.localization.Localizer`."""
        audio = self.audio(audio)
        visual = self.visual(self.attention(audio, grid))
        streams = self.propagation(self.temporal(audio, visual))
        similarity = cosine_similarity(streams.visual, streams.audio, dim=-1)
        return Fused((streams.audio + streams.visual) / 2, similarity=similarity)
