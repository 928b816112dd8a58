"""MM-Pyramid's encoder: attention and convolution over windows that double at each level."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.attention import Attention, FeedForward
from pipeline.models.dropout import Dropout
from pipeline.models.paired_layers import PairedLinear, norm, start_alike
from pipeline.models.predictions import Encoded


class QueryNormLayer(nn.Module):
    """A pre-norm transformer layer in which only the query is normalised; the memory is attended to as it is.

    Args:
        dim: of a step.
        heads: of the attention.
        feed_forward: hidden width.
        dropout: on either residual branch and inside the feed-forward block.
        attention_dropout: on the attention weights.
        paired: whether each of two streams has a layer of its own; tensors then begin with ``[2, ...]``.

    Source: published code of MM-Pyramid (Yu et al., ACM MM 2022, https://arxiv.org/abs/2111.12374).
    """

    def __init__(
        self, dim: int, *, heads: int, feed_forward: int, dropout: float, attention_dropout: float, paired: bool
    ) -> None:
        super().__init__()
        self.attention = Attention(dim, heads=heads, dropout=attention_dropout, start="copies", paired=paired)
        self.feed_forward = FeedForward(dim, feed_forward, dropout=dropout, paired=paired)
        self.attention_norm = norm(dim, paired=paired)
        self.feed_forward_norm = norm(dim, paired=paired)
        self.dropout = Dropout(dropout)

    def forward(self, query: Tensor, memory: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Update ``query`` ``[..., steps, dim]`` from ``memory``; ``mask`` as in :class:`Attention`."""
        attended, _ = self.attention(self.attention_norm(query), memory, mask=mask)
        query = query + self.dropout(attended)
        updated: Tensor = query + self.dropout(self.feed_forward(self.feed_forward_norm(query)))
        return updated


class TemporalBlock(nn.Module):
    """Per stream: a dilated convolution over three segments, ReLU, a linear layer, a residual, ReLU.

    The convolution is a linear layer on a segment beside its two neighbours ``dilation`` away (zeros past the
    ends): the same numbers as ``Conv1d``, without moving the channels.

    Source: MM-Pyramid (Yu et al., ACM MM 2022, https://arxiv.org/abs/2111.12374) and its published code.
    """

    def __init__(self, dim: int, *, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.neighbours = PairedLinear(3 * dim, dim)
        self.mix = PairedLinear(dim, dim)

    def forward(self, streams: Tensor) -> Tensor:
        """``[2, clips, segments, dim]`` to the same."""
        segments = streams.shape[2]
        padded = functional.pad(streams, (0, 0, self.dilation, self.dilation))
        shifted = [padded[:, :, i * self.dilation : i * self.dilation + segments] for i in range(3)]
        convolved = self.neighbours(torch.cat(shifted, dim=-1))
        return functional.relu(self.mix(functional.relu(convolved)) + streams)


class Gate(nn.Module):
    """Mixes self-attention and cross-attention, with two sigmoid weights per dimension."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weights = PairedLinear(2 * dim, 2 * dim)

    def forward(self, within: Tensor, across: Tensor) -> Tensor:
        """Both ``[2, clips, segments, dim]``; so is the result."""
        found = torch.cat([within, across], dim=-1)
        keep_within, keep_across = torch.sigmoid(self.weights(found)).chunk(2, dim=-1)
        return keep_within * within + keep_across * across


class PyramidLevel(nn.Module):
    """One level: attention within a window in either stream and across (one layer for both), gates, temporal blocks.

    Args:
        dim: of a segment.
        reach: how many segments away a segment sees, and the dilation of the convolution.
        heads: of the attentions.
        feed_forward: hidden width.
        dropout: see :class:`QueryNormLayer`.
        attention_dropout: see :class:`QueryNormLayer`.
    """

    def __init__(
        self, dim: int, *, reach: int, heads: int, feed_forward: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.reach = reach
        self.within, self.across = (
            QueryNormLayer(
                dim, heads=heads, feed_forward=feed_forward, dropout=dropout, attention_dropout=attention_dropout,
                paired=paired,
            )
            for paired in (True, False)
        )  # fmt: skip
        self.gate = Gate(dim)
        self.temporal = TemporalBlock(dim, dilation=reach)

    def forward(self, streams: Tensor) -> Tensor:
        """``[2, clips, segments, dim]`` before and after; both look at the streams from before the level."""
        mask = window_mask(streams.shape[2], self.reach, device=streams.device)
        across = self.across(streams.flatten(0, 1), streams.flip(0).flatten(0, 1), mask=mask).view_as(streams)
        mixed: Tensor = self.temporal(self.gate(self.within(streams, streams, mask=mask), across))
        return mixed


class LevelFusion(nn.Module):
    """Self-attention over the levels of a segment, then their sum with one sigmoid weight per level.

    The weights are not a softmax and need not add up to 1, as published.
    """

    def __init__(self, dim: int, *, heads: int, feed_forward: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.layer = QueryNormLayer(
            dim,
            heads=heads,
            feed_forward=feed_forward,
            dropout=dropout,
            attention_dropout=attention_dropout,
            paired=True,
        )
        start_alike([self.layer])
        self.weight = PairedLinear(dim, 1)

    def forward(self, levels: Tensor) -> Tensor:
        """``[2, clips, segments, levels, dim]`` to ``[2, clips, segments, dim]``."""
        sequences = levels.flatten(1, 2)
        mixed = self.layer(sequences, sequences)
        weights = torch.sigmoid(self.weight(mixed))
        return torch.unflatten((weights * mixed).sum(dim=2), 1, levels.shape[1:3])


class MMPyrEncoder(nn.Module):
    """MM-Pyramid's encoder.

    Args:
        dim: of a segment.
        levels: of the pyramid; level ``i`` sees ``2 ** i`` segments to either side.
        heads: of the attentions.
        feed_forward: hidden width.
        dropout: on residual branches and inside feed-forward blocks.
        attention_dropout: on attention weights.

    Source: MM-Pyramid (Yu et al., ACM MM 2022, https://arxiv.org/abs/2111.12374) and its published code.
    The published head takes this encoder's two outputs in the wrong order; ours does not.
    """

    def __init__(
        self,
        dim: int,
        *,
        levels: int = 4,
        heads: int = 8,
        feed_forward: int = 512,
        dropout: float = 0.2,
        attention_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"{levels} levels: expected at least 1")
        self.levels = nn.ModuleList(
            PyramidLevel(
                dim,
                reach=2**level,
                heads=heads,
                feed_forward=feed_forward,
                dropout=dropout,
                attention_dropout=attention_dropout,
            )
            for level in range(levels)
        )
        self.fusion = LevelFusion(
            dim, heads=heads, feed_forward=feed_forward, dropout=dropout, attention_dropout=attention_dropout
        )
        layers = [layer for level in self.levels for layer in level.children() if isinstance(layer, QueryNormLayer)]
        start_alike([layer.feed_forward for layer in layers])

    def forward(self, streams: Encoded) -> Encoded:
        """Encode; streams are ``[clips, segments, dim]`` before and after."""
        together, found = torch.stack(streams), []
        for level in self.levels:
            together = level(together)
            found.append(together)
        return Encoded(*self.fusion(torch.stack(found, dim=3)).unbind())


def window_mask(segments: int, reach: int, *, device: torch.device) -> Tensor:
    """``[segments, segments]`` bool, true where two segments are at most ``reach`` apart."""
    index = torch.arange(segments, device=device)
    return (index[:, None] - index[None, :]).abs() <= reach
