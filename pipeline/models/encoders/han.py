"""HAN's encoder: hybrid attention, self-attention plus cross-modal attention."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from pipeline.models.attention import Attention, FeedForward
from pipeline.models.dropout import Dropout
from pipeline.models.paired_layers import start_alike
from pipeline.models.predictions import Encoded

Norm = Literal["post", "pre"]


class HybridAttentionLayer(nn.Module):
    """Self-attention and cross-attention added to a stream, then a feed-forward block.

    Args:
        dim: of a segment.
        heads: of either attention.
        feed_forward: hidden width.
        dropout: everywhere.
        norm: ``post``: layer norms after each residual sum. ``pre``: on the query before each block; the other
            stream is then attended to as it is, as in VALOR's published code.

    Source: HAN (Tian et al., ECCV 2020, https://arxiv.org/abs/2007.10558), hybrid attention network.
    """

    def __init__(self, dim: int, *, heads: int, feed_forward: int, dropout: float = 0.1, norm: Norm = "post") -> None:
        super().__init__()
        if norm not in ("post", "pre"):
            raise ValueError(f"norm {norm!r}: expected post or pre")
        self.norm = norm
        self.self_attention = Attention(dim, heads=heads, dropout=dropout)
        self.cross_attention = Attention(dim, heads=heads, dropout=dropout)
        self.feed_forward = FeedForward(dim, feed_forward, dropout=dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, stream: Tensor, other: Tensor) -> Tensor:
        """Update one stream.

        Args:
            stream: ``[clips, segments, dim]``.
            other: the partner, the same shape.

        Returns:
            ``[clips, segments, dim]``.
        """
        if self.norm == "pre":
            stream = stream + self._attend(self.attention_norm(stream), other)
            updated: Tensor = stream + self.dropout(self.feed_forward(self.feed_forward_norm(stream)))
        else:
            stream = self.attention_norm(stream + self._attend(stream, other))
            updated = self.feed_forward_norm(stream + self.dropout(self.feed_forward(stream)))
        return updated

    def _attend(self, stream: Tensor, other: Tensor) -> Tensor:
        across, _ = self.cross_attention(stream, other)
        within, _ = self.self_attention(stream, stream)
        found: Tensor = self.dropout(across) + self.dropout(within)
        return found


class HANEncoder(nn.Module):
    """HAN's encoder: one layer for both streams; each attends to the other as it was before the layer.

    In the published code every layer is applied to the encoder's inputs and only the last one's output is kept, so
    more layers change nothing but their number of dead weights. With ``stacking="published"`` the one live layer is
    all that is built; ``"stacked"`` feeds each layer with the one before it.

    Args:
        dim: of a segment.
        layers: how many.
        heads: of either attention.
        feed_forward: hidden width.
        dropout: everywhere.
        stacking: see above.

    Source: HAN (Tian et al., ECCV 2020, https://arxiv.org/abs/2007.10558), hybrid attention network, and its
    published code.
    """

    def __init__(
        self,
        dim: int,
        *,
        layers: int = 1,
        heads: int = 1,
        feed_forward: int = 512,
        dropout: float = 0.1,
        stacking: Literal["published", "stacked"] = "published",
    ) -> None:
        super().__init__()
        if stacking not in ("published", "stacked"):
            raise ValueError(f"stacking {stacking!r}: expected published or stacked")
        built = layers if stacking == "stacked" else min(layers, 1)
        if built < 1:
            raise ValueError(f"{layers} layers: expected at least 1")
        self.layers = nn.ModuleList(
            HybridAttentionLayer(dim, heads=heads, feed_forward=feed_forward, dropout=dropout) for _ in range(built)
        )
        start_alike(list(self.layers))

    def forward(self, streams: Encoded) -> Encoded:
        """Encode; streams are ``[clips, segments, dim]`` before and after."""
        for layer in self.layers:
            streams = Encoded.parted(layer(streams.joined(), streams.joined_partners()))
        return streams
