"""Fully supervised CMBS's encoder: LSTMs before the cross-modal layers, and a score of an event in each segment."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.models.dropout import Dropout
from pipeline.models.encoders.ave import TemporalLSTMs
from pipeline.models.encoders.cmbs import Interaction, RelationDecoder, RelationEncoder
from pipeline.models.encoders.cmbs_attention import SpatialChannelAttention
from pipeline.models.localizers.localization import Fused

_TOP = 4
_ADAPTED_DROPOUT = 0.2
_INTERACTION_DROPOUT = 0.1


class CMBSSupervisedEncoder(nn.Module):
    """Fully supervised CMBS up to the fused segments, their event scores, the gate and the streams' class scores.

    As published, and unlike :class:`pipeline.models.encoders.cmbs.CMBSEncoder`: each gate is read from its own
    modality, scales the other one by ``1 + alpha * gate``, and their product is the gate of both.

    Args:
        audio_dim: of a segment.
        channels: of a position of the grid.
        events: classes without the background.
        dim: of the fused segments.
        heads: of all attentions.
        encoder_feed_forward: hidden width there.
        decoder_feed_forward: hidden width there.
        dropout: of encoders and decoders.
        alpha: strength of the gates.
        beta: see :class:`pipeline.models.encoders.cmbs_attention.SpatialChannelAttention`.

    Source: Xia and Zhao, Cross-modal background suppression for audio-visual event localization, CVPR 2022; its
    published fully supervised code.
    """

    def __init__(
        self, audio_dim: int, channels: int, *, events: int, dim: int = 256, heads: int = 4,
        encoder_feed_forward: int = 1024, decoder_feed_forward: int = 1024, dropout: float = 0.1,
        alpha: float = 0.1, beta: float = 0.4,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim, self.alpha = dim, alpha
        self.adapt, self.dropout = nn.Linear(channels, channels), Dropout(_ADAPTED_DROPOUT)
        self.attention = SpatialChannelAttention(audio_dim, channels, beta=beta)
        self.temporal = TemporalLSTMs(audio_dim, channels, hidden=dim // 2, visual_hidden=dim)
        outer = {"heads": heads, "feed_forward": encoder_feed_forward, "dropout": dropout}
        inner = {"heads": heads, "feed_forward": decoder_feed_forward, "dropout": dropout}
        self.audio_encoder = RelationEncoder(dim, dim, **outer)  # type: ignore[arg-type]
        self.visual_encoder = RelationEncoder(2 * dim, dim, **outer)  # type: ignore[arg-type]
        self.audio_decoder = RelationDecoder(dim, dim, **inner)  # type: ignore[arg-type]
        self.visual_decoder = RelationDecoder(2 * dim, dim, **inner)  # type: ignore[arg-type]
        self.gate_from_audio, self.gate_from_visual = nn.Linear(dim, 1), nn.Linear(dim, 1)
        self.audio_classes, self.visual_classes = nn.Linear(dim, events), nn.Linear(dim, events)
        self.first, self.second = (
            Interaction(dim, heads=heads, dropout=_INTERACTION_DROPOUT, attention_dropout=2 * _INTERACTION_DROPOUT)
            for _ in range(2)
        )
        self.event = nn.Linear(dim, 1)

    def forward(self, audio: Tensor, grid: Tensor) -> Fused:
        """See :class:`pipeline.models.localizers.localization.Localizer`."""
        seen = self.attention(audio, self.dropout(self.adapt(grid).relu()))
        streams = self.temporal(audio, seen)
        audio_memory, visual_memory = self.audio_encoder(streams.audio), self.visual_encoder(streams.visual)
        heard = self.audio_decoder(streams.audio, visual_memory)
        seen = self.visual_decoder(streams.visual, audio_memory)
        from_audio = self.gate_from_audio(audio_memory).sigmoid()
        from_visual = self.gate_from_visual(visual_memory).sigmoid()
        seen = seen + self.alpha * from_audio * seen
        heard = heard + self.alpha * from_visual * heard
        categories = (_highest(self.visual_classes(seen)) + _highest(self.audio_classes(heard))) / 2
        seen = self.first(seen, heard)
        heard = self.second(heard, seen)
        fused = (seen + heard) / 2
        gate = (from_audio * from_visual).squeeze(-1)
        return Fused(fused, gate, event_scores=self.event(fused).squeeze(-1), stream_categories=categories)


def _highest(scores: Tensor) -> Tensor:
    """The mean of each class's highest scores over time, ``[clips, classes]``."""
    return scores.topk(min(_TOP, scores.shape[1]), dim=1).values.mean(dim=1)
