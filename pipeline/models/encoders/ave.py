"""AVE's encoder: audio-guided visual attention and a bidirectional LSTM per modality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.models.localizers.localization import Fused
from pipeline.models.predictions import Encoded


class AudioGuidedAttention(nn.Module):
    """Attention over the positions of a picture, guided by the audio of the segment.

    As published, the hidden layer has as many units as the grid has positions, and the sound's contribution is added
    by position, equal for all hidden units, where the paper has it by hidden unit, equal for all positions. PSP's code
    has the same.

    Args:
        audio_dim: of a segment.
        channels: of a position.
        positions: of the grid.
        hidden: width of the first layers.
        xavier: whether Xavier's rule starts the weights, as in ``att_Net`` and PSP; else torch's, as in DMRN.

    Source: Tian et al., Audio-visual event localization in unconstrained videos, ECCV 2018
    (https://arxiv.org/abs/1803.08842), audio-guided visual attention; its published code.
    """

    def __init__(
        self, audio_dim: int, channels: int, *, positions: int, hidden: int = 512, xavier: bool = True
    ) -> None:  # fmt: skip
        super().__init__()
        self.audio = nn.Linear(audio_dim, hidden)
        self.visual = nn.Linear(channels, hidden)
        self.audio_to_positions = nn.Linear(hidden, positions, bias=False)
        self.visual_to_hidden = nn.Linear(hidden, positions, bias=False)
        self.weight = nn.Linear(positions, 1, bias=False)
        if xavier:
            for linear in (self.audio, self.visual, self.audio_to_positions, self.visual_to_hidden, self.weight):
                nn.init.xavier_uniform_(linear.weight)

    def forward(self, audio: Tensor, grid: Tensor) -> Tensor:
        """Weighted means of the grids.

        Args:
            audio: ``[clips, segments, audio_dim]``.
            grid: ``[clips, segments, positions, channels]``.

        Returns:
            ``[clips, segments, channels]``.
        """
        looked = self.visual_to_hidden(self.visual(grid).relu())  # [clips, segments, positions, hidden units]
        heard = self.audio_to_positions(self.audio(audio).relu())  # [clips, segments, positions]
        weights = self.weight((looked + heard[..., None]).tanh()).softmax(dim=2)
        attended: Tensor = (weights * grid).sum(dim=2)
        return attended


class TemporalLSTMs(nn.Module):
    """A bidirectional LSTM for each modality; ``[clips, segments, dim]`` to ``[clips, segments, 2 * hidden]``.

    Args:
        audio_dim: of a segment.
        visual_dim: likewise.
        hidden: of an LSTM in each direction.
        visual_hidden: of the visual one, if it is another.
    """

    def __init__(self, audio_dim: int, visual_dim: int, *, hidden: int, visual_hidden: int | None = None) -> None:
        super().__init__()
        self.audio = nn.LSTM(audio_dim, hidden, batch_first=True, bidirectional=True)
        self.visual = nn.LSTM(visual_dim, visual_hidden or hidden, batch_first=True, bidirectional=True)

    def forward(self, audio: Tensor, visual: Tensor) -> Encoded:
        """Both, each on its own."""
        return Encoded(self.audio(audio)[0], self.visual(visual)[0])


class AVEEncoder(nn.Module):
    """Audio-guided attention, an LSTM per modality, and their concatenation: ``att_Net``, weakly and fully supervised.

    Args:
        audio_dim: of a segment.
        channels: of a position of the grid.
        positions: of the grid.
        hidden: of an LSTM in each direction; the fused segments are four times as wide.

    Source: Tian et al., ECCV 2018 (https://arxiv.org/abs/1803.08842); its published code (A+V-att).
    """

    def __init__(self, audio_dim: int, channels: int, *, positions: int, hidden: int = 128) -> None:
        super().__init__()
        self.dim = 4 * hidden
        self.attention = AudioGuidedAttention(audio_dim, channels, positions=positions)
        self.temporal = TemporalLSTMs(audio_dim, channels, hidden=hidden)

    def forward(self, audio: Tensor, grid: Tensor) -> Fused:
        """See :class:`pipeline.models.localizers.localization.Localizer`."""
        return Fused(torch.cat(self.temporal(audio, self.attention(audio, grid)), dim=-1).relu())
