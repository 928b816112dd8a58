"""Multi-head attention and feed-forward blocks, shared by all systems."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.models.dropout import Dropout
from pipeline.models.paired_layers import PairedLinear, linear

Start = Literal["packed", "copies"]


class Attention(nn.Module):
    """Scaled dot-product attention with several heads.

    The parts are methods, because LEAP asks for scores without mixing and keeps the keys between calls.

    Args:
        dim: of queries, memory and output.
        heads: ``dim`` must be a multiple.
        dropout: on the attention weights.
        start: how the published code starts its weights. ``packed``: as ``torch.nn.MultiheadAttention`` (HAN, VALOR,
            MM-CSE). ``copies``: query, key, value and output start as copies of one linear layer (MM-Pyramid, LEAP).
        project_output: whether a linear layer follows the heads.
        paired: whether each of two streams has an attention of its own; all tensors then begin with ``[2, ...]``.

    Source: Vaswani et al., Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 3.2.2.
    """

    def __init__(
        self, dim: int, *, heads: int, dropout: float = 0.1, start: Start = "packed", project_output: bool = True,
        paired: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if heads < 1 or dim % heads:
            raise ValueError(f"{heads} heads do not divide {dim} dimensions")
        self.heads = heads
        self.dropout = Dropout(dropout)
        self.query = linear(dim, dim, paired=paired)
        self.key_value = linear(dim, 2 * dim, paired=paired)
        self.output = linear(dim, dim, paired=paired) if project_output else None
        self._start_packed(dim) if start == "packed" else self._start_as_copies()

    def forward(self, query: Tensor, memory: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            query: ``[batch, queries, dim]``.
            memory: ``[batch, steps, dim]``.
            mask: ``[queries, steps]`` bool, true where a query may look.

        Returns:
            ``[batch, queries, dim]``, and the weights ``[batch, heads, queries, steps]``, after dropout.
        """
        key, value = self.project_memory(memory)
        return self.mix(self.scores(query, key), value, mask=mask)

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a memory ``[batch, steps, dim]``: each ``[batch, heads, steps, dim / heads]``."""
        key, value = self.key_value(memory).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Scaled products ``[batch, heads, queries, steps]`` of queries ``[batch or 1, queries, dim]`` and keys."""
        projected = self._split(self.query(query))
        return torch.matmul(projected, key.transpose(-2, -1)) / math.sqrt(projected.shape[-1])

    def mix(self, scores: Tensor, value: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Weigh the values by the scores; see :meth:`forward`."""
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = self.dropout(scores.softmax(dim=-1))
        mixed = torch.matmul(weights, value).transpose(-3, -2).flatten(-2)
        return (mixed if self.output is None else self.output(mixed)), weights

    def _split(self, tensor: Tensor) -> Tensor:
        return torch.unflatten(tensor, -1, (self.heads, -1)).transpose(-3, -2)

    def _start_packed(self, dim: int) -> None:
        bound = math.sqrt(6.0 / (dim + 3 * dim))  # Xavier's for one [3 dim, dim] matrix
        for layer in (self.query, self.key_value):
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)
        if self.output is not None:
            nn.init.zeros_(self.output.bias)

    @torch.no_grad()
    def _start_as_copies(self) -> None:
        rows = 2 if isinstance(self.key_value, PairedLinear) else 0
        self.key_value.weight.copy_(torch.cat([self.query.weight] * 2, dim=rows))
        self.key_value.bias.copy_(torch.cat([self.query.bias] * 2, dim=-1))
        if self.output is not None:
            self.output.load_state_dict(self.query.state_dict())


class FeedForward(nn.Sequential):
    """Two linear layers with ReLU and dropout between; ``[..., dim]`` to ``[..., dim]``, ``paired`` as above."""

    def __init__(self, dim: int, hidden: int, *, dropout: float, paired: bool = False) -> None:
        super().__init__(
            linear(dim, hidden, paired=paired), nn.ReLU(), Dropout(dropout), linear(hidden, dim, paired=paired)
        )
