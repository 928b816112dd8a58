"""Layers that two streams have each for itself, run as one.

Audio and visual stream pass layers of the same shape with weights of their own. Held together, their two matrix
products are one batched product: on two cores, at 320 rows, 0.82 instead of 0.70 of the rate of a large product.
A twin layer takes and gives ``[2, ...]``, audio first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

STREAMS = 2


class TwinLinear(nn.Module):
    """Two linear layers, ``[2, ..., in_dim]`` to ``[2, ..., out_dim]``; each starts as ``torch.nn.Linear``.

    The weight is ``[2, in_dim, out_dim]``, so that its gradient comes in its own layout.
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_dim)
        self.weight = nn.Parameter(torch.empty(STREAMS, in_dim, out_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(STREAMS, out_dim).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Apply each layer to its stream."""
        out = torch.baddbmm(self.bias[:, None], x.flatten(1, -2), self.weight)
        return out.unflatten(1, x.shape[1:-1])  # type: ignore[no-any-return]


class TwinNorm(nn.Module):
    """Two layer norms over the last dimension of ``[2, ..., dim]``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(STREAMS, dim))
        self.bias = nn.Parameter(torch.zeros(STREAMS, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each stream."""
        parts = zip(x.unbind(), self.weight.unbind(), self.bias.unbind(), strict=True)
        return torch.stack([functional.layer_norm(part, part.shape[-1:], weight, bias) for part, weight, bias in parts])


def linear(in_dim: int, out_dim: int, *, twin: bool) -> nn.Linear | TwinLinear:
    """A linear layer, or one for each stream."""
    return TwinLinear(in_dim, out_dim) if twin else nn.Linear(in_dim, out_dim)


def norm(dim: int, *, twin: bool) -> nn.LayerNorm | TwinNorm:
    """A layer norm, or one for each stream."""
    return TwinNorm(dim) if twin else nn.LayerNorm(dim)


@torch.no_grad()
def start_alike(modules: Sequence[nn.Module]) -> None:
    """Start several modules, and both streams of twins, from the first one's weights.

    Published code does so by deep copies of one module.

    Args:
        modules: of one structure, twin or not; of a twin that comes first, the audio stream is copied.
    """
    first = list(_linears(modules[0]))
    for module in modules:
        if not any(isinstance(part, TwinLinear) for part in (*first, *_linears(module))):
            module.load_state_dict(modules[0].state_dict())
            continue
        for source, target in zip(first, _linears(module), strict=True):  # norms start alike in any case
            weight, bias = _weights(source)
            if isinstance(target, TwinLinear):
                target.weight.copy_(weight.expand_as(target.weight).clone())
                target.bias.copy_(bias.expand_as(target.bias).clone())
            else:
                target.weight.copy_(weight.T)
                target.bias.copy_(bias)


def _linears(module: nn.Module) -> Iterator[nn.Linear | TwinLinear]:
    return (part for part in module.modules() if isinstance(part, nn.Linear | TwinLinear))


def _weights(part: nn.Linear | TwinLinear) -> tuple[Tensor, Tensor]:
    """``[in_dim, out_dim]`` and ``[out_dim]``, of the audio stream if there are two."""
    return (part.weight[0], part.bias[0]) if isinstance(part, TwinLinear) else (part.weight.T, part.bias)
