"""Pads odd channel counts with zeros: tensor cores multiply by eights, and cuDNN falls back to slower kernels else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.functional import pad

MULTIPLE = 8


def pad_channels(module: nn.Module) -> int:
    """Widen what lies between two convolutions to a multiple of eight channels. Exact but for rounding.

    Only a convolution, a ReLU and a convolution that follow each other in a plain ``Sequential`` are touched: nothing
    else can see what is between them, and the ReLU of a channel of zeros is zeros. Fold batch norms before.

    Args:
        module: changed in place.

    Returns:
        How many pairs were widened.
    """
    uses = Counter(id(part) for _, part in module.named_modules(remove_duplicate=False))
    pairs = [pair for pair in _pairs(module) if all(uses[id(conv)] == 1 for conv in pair)]
    for first, second in pairs:
        extra = -first.out_channels % MULTIPLE
        nothing = (0, 0) * (first.weight.ndim - 2)
        first.weight = _frozen(pad(first.weight, (*nothing, 0, 0, 0, extra)))
        if first.bias is not None:
            first.bias = _frozen(pad(first.bias, (0, extra)))
        second.weight = _frozen(pad(second.weight, (*nothing, 0, extra)))
        first.out_channels = second.in_channels = first.out_channels + extra
    return len(pairs)


def _pairs(module: nn.Module) -> Iterator[tuple[Any, Any]]:
    """Convolutions with a ReLU and an odd number of channels between them."""
    for part in module.modules():
        if not isinstance(part, nn.Sequential) or type(part).forward is not nn.Sequential.forward:
            continue
        steps: list[Any] = [step for step in part if not isinstance(step, nn.Identity)]
        for first, middle, second in zip(steps, steps[1:], steps[2:], strict=False):
            if (
                isinstance(middle, nn.ReLU)
                and all(isinstance(conv, (nn.Conv2d, nn.Conv3d)) and conv.groups == 1 for conv in (first, second))
                and first.out_channels % MULTIPLE
            ):
                yield first, second


def _frozen(weight: Any) -> nn.Parameter:
    return nn.Parameter(weight.detach(), requires_grad=False)
