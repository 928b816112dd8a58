"""The torch engine: batch norms folded into convolutions, channels last, cast once to the precision asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from extractors.engines import runtime
from extractors.engines.casting import HALF_TYPES, cast_network
from extractors.engines.channel_padding import pad_channels
from extractors.engines.folding import fold_batch_norms
from extractors.engines.network import Network

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


class TorchEngine:
    """Runs a network with torch.

    Args:
        network: what to run.
        device: ``cpu`` or ``cuda:N``.
        precision: of the network; what its backbone computes before and after it stays in float32.
    """

    def __init__(self, network: Network, *, device: str, precision: str) -> None:
        self._device = torch.device(device)
        whole = prepared(network, padded=self._device.type == "cuda")
        if precision in HALF_TYPES:
            cast_network(whole.network, HALF_TYPES[precision], keep=network.float32_parts)
        self._network = whole.to(self._device)

    def __call__(self, batch: Tensor) -> tuple[Tensor, ...]:
        """See :class:`extractors.engines.network.Engine`."""
        units = runtime.to_device(batch, self._device)
        return tuple(output.float() for output in self._network(units))


class Whole(nn.Module):
    """A network with what comes before and after it, as one module: units in, outputs out."""

    def __init__(self, network: nn.Module, compute: Callable[[Any, Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.network = network
        self._compute = compute

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Compute ``[units, ...]`` for each output."""
        return self._compute(self.network, batch)


def prepared(network: Network, *, padded: bool = False) -> Whole:
    """Build a network and put it in the form that both engines start from. Equal but for rounding.

    Args:
        network: what to build.
        padded: widen odd channel counts, see :func:`pad_channels`; a CPU would only compute more.
    """
    whole = Whole(network.build().requires_grad_(False), network.compute).eval()
    fold_batch_norms(whole, network.example)
    if padded:
        pad_channels(whole)
    for parameter in whole.parameters():
        if parameter.ndim in _CHANNELS_LAST:
            parameter.data = parameter.data.contiguous(memory_format=_CHANNELS_LAST[parameter.ndim])
    return whole
