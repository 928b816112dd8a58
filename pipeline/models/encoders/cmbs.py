"""CMBS's encoder: cross-modal gates that suppress background segments and absent classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.models.attention import Attention, FeedForward
from pipeline.models.dropout import Dropout
from pipeline.models.encoders.cmbs_attention import SpatialChannelAttention
from pipeline.models.localizers.localization import Fused


class PostNormLayer(nn.Module):
    """Attention and a feed-forward block, each with a residual and a layer norm after it.

    Args:
        dim: of queries and memory.
        heads: of the attention.
        feed_forward: hidden width.
        dropout: everywhere.
    """

    def __init__(self, dim: int, *, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(dim, heads=heads, dropout=dropout)
        self.feed_forward = FeedForward(dim, feed_forward, dropout=dropout)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """``[clips, queries, dim]`` and ``[clips, steps, dim]`` to ``[clips, queries, dim]``."""
        query = self.attention_norm(query + self.dropout(self.attention(query, memory)[0]))
        updated: Tensor = self.feed_forward_norm(query + self.dropout(self.feed_forward(query)))
        return updated


class RelationEncoder(nn.Module):
    """A linear layer, and two layers in which the segments of one modality attend to each other."""

    def __init__(self, input_dim: int, dim: int, *, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.widen = nn.Linear(input_dim, dim)
        self.layers = nn.ModuleList(
            PostNormLayer(dim, heads=heads, feed_forward=feed_forward, dropout=dropout) for _ in range(2)
        )

    def forward(self, stream: Tensor) -> Tensor:
        """``[clips, segments, input_dim]`` to ``[clips, segments, dim]``."""
        stream = self.widen(stream)
        for layer in self.layers:
            stream = layer(stream, stream)
        return stream


class RelationDecoder(nn.Module):
    """A linear layer, and one in which the segments attend to the other modality's and to themselves at once."""

    def __init__(self, input_dim: int, dim: int, *, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.widen = nn.Linear(input_dim, dim)
        self.layer = PostNormLayer(dim, heads=heads, feed_forward=feed_forward, dropout=dropout)

    def forward(self, stream: Tensor, memory: Tensor) -> Tensor:
        """``[clips, segments, input_dim]`` and ``[clips, segments, dim]`` to ``[clips, segments, dim]``."""
        query = self.widen(stream)
        decoded: Tensor = self.layer(query, torch.cat([memory, query], dim=1))
        return decoded


class Interaction(nn.Module):
    """The product of both modalities attends to each of them."""

    def __init__(self, dim: int, *, heads: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.attention = Attention(dim, heads=heads, dropout=attention_dropout)
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """``[clips, segments, dim]`` twice to the same."""
        shared = one * other
        asked: Tensor = self.norm(shared + self.dropout(self.attention(shared, torch.cat([other, one], dim=1))[0]))
        return asked


class CMBSEncoder(nn.Module):
    """Weakly supervised CMBS up to the fused segments, the segment gate and the class gate.

    As published: the gate of what the picture says comes from the sound and the other way round, each modality is
    scaled by ``1 - alpha + alpha * gate``, both gates' mean is the probability of an event, and the second interaction
    reads the picture as the first has already changed it.

    Args:
        audio_dim: of a segment.
        channels: of a position of the grid.
        classes: with the background.
        dim: of the fused segments.
        heads: of encoders and decoders; the interactions have two.
        encoder_feed_forward: hidden width there.
        decoder_feed_forward: hidden width there.
        dropout: of all layers.
        alpha: strength of the segment gates.
        beta: see :class:`SpatialChannelAttention`.
        gamma: strength of each class gate.

    Source: Xia and Zhao, Cross-modal background suppression for audio-visual event localization, CVPR 2022; its
    published weakly supervised code.
    """

    def __init__(
        self, audio_dim: int, channels: int, *, classes: int, dim: int = 256, heads: int = 4,
        encoder_feed_forward: int = 2048, decoder_feed_forward: int = 1024, dropout: float = 0.1,
        alpha: float = 0.2, beta: float = 0.5, gamma: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim, self.alpha, self.gamma = dim, alpha, gamma
        self.adapt, self.dropout = nn.Linear(channels, channels), Dropout(dropout)
        self.attention = SpatialChannelAttention(audio_dim, channels, beta=beta)
        outer = {"heads": heads, "feed_forward": encoder_feed_forward, "dropout": dropout}
        inner = {"heads": heads, "feed_forward": decoder_feed_forward, "dropout": dropout}
        self.audio_encoder = RelationEncoder(audio_dim, dim, **outer)  # type: ignore[arg-type]
        self.visual_encoder = RelationEncoder(channels, dim, **outer)  # type: ignore[arg-type]
        self.audio_decoder = RelationDecoder(audio_dim, dim, **inner)  # type: ignore[arg-type]
        self.visual_decoder = RelationDecoder(channels, dim, **inner)  # type: ignore[arg-type]
        self.gate_from_audio, self.gate_from_visual = nn.Linear(dim, 1), nn.Linear(dim, 1)
        self.audio_classes, self.visual_classes = nn.Linear(dim, classes), nn.Linear(dim, classes)
        self.first, self.second = (
            Interaction(dim, heads=2, dropout=dropout, attention_dropout=2 * dropout) for _ in range(2)
        )

    def forward(self, audio: Tensor, grid: Tensor) -> Fused:
        """See :class:`pipeline.models.localizers.localization.Localizer`."""
        seen = self.attention(audio, self.dropout(self.adapt(grid).relu()))
        audio_memory, visual_memory = self.audio_encoder(audio), self.visual_encoder(seen)
        heard = self.audio_decoder(audio, visual_memory)
        seen = self.visual_decoder(seen, audio_memory)
        from_visual = self.gate_from_visual(visual_memory).sigmoid()
        from_audio = self.gate_from_audio(audio_memory).sigmoid()
        # The published code calls the gate that is read from the picture's memory the audio's, and scales the picture.
        seen = (1 - self.alpha) * seen + self.alpha * from_visual * seen
        heard = (1 - self.alpha) * heard + self.alpha * from_audio * heard
        class_gate = self.gamma * (self.visual_classes(seen).sigmoid() + self.audio_classes(heard).sigmoid())
        seen = self.first(seen, heard)
        heard = self.second(heard, seen)
        return Fused((seen + heard) / 2, ((from_visual + from_audio) / 2).squeeze(-1), class_gate)
