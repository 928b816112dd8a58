"""DMRN's encoder: AVE's attention and LSTMs, and a residual fusion in which each modality takes from both."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.models.encoders.ave import AudioGuidedAttention, TemporalLSTMs
from pipeline.models.localizers.localization import Fused


class DualResidualFusion(nn.Module):
    """Adds a joint residual to both modalities, and takes their mean.

    As published, each block puts the sound's update in the picture's place and the other way round. Blocks share their
    weights.

    Args:
        dim: of a segment, of each modality.
        blocks: how many.

    Source: Tian et al., ECCV 2018 (https://arxiv.org/abs/1803.08842), dual multimodal residual network; its published
    code (``TBMRF_Net``).
    """

    def __init__(self, dim: int, *, blocks: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.audio, self.visual = (
            nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, dim)) for _ in range(2)
        )  # fmt: skip

    def forward(self, audio: Tensor, visual: Tensor) -> Tensor:
        """``[clips, segments, dim]`` twice to the same."""
        for _ in range(self.blocks):
            shared = (self.visual(visual) + self.audio(audio)) / 2
            visual, audio = (audio + shared).tanh(), (visual + shared).tanh()
        return (visual + audio) / 2


class DMRNEncoder(nn.Module):
    """Audio-guided attention, an LSTM for each modality, and their residual fusion; fully supervised.

    Args:
        audio_dim: of a segment.
        channels: of a position of the grid.
        positions: of the grid.
        hidden: of an LSTM in each direction; the fused segments are twice as wide.
        blocks: of the fusion.

    Source: see :class:`DualResidualFusion`.
    """

    def __init__(self, audio_dim: int, channels: int, *, positions: int, hidden: int = 128, blocks: int = 1) -> None:
        super().__init__()
        self.dim = 2 * hidden
        self.attention = AudioGuidedAttention(audio_dim, channels, positions=positions, xavier=False)
        self.temporal = TemporalLSTMs(audio_dim, channels, hidden=hidden)
        self.fusion = DualResidualFusion(self.dim, blocks=blocks)

    def forward(self, audio: Tensor, grid: Tensor) -> Fused:
        """See :class:`pipeline.models.localizers.localization.Localizer`."""
        streams = self.temporal(audio, self.attention(audio, grid))
        fused: Tensor = self.fusion(streams.audio, streams.visual)
        return Fused(fused)
