"""Dropout whose mask is cheap on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """Dropout with 16 random bits a value on a CPU; elsewhere torch's own.

    Torch draws a CPU mask one double at a time on one thread, a tenth of a training step here. The probability is
    rounded to 1/65536, and what is kept is scaled by exactly the share that is kept.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Any shape to the same."""
        dropped = round(self.p * _LEVELS)
        if not self.training or dropped in (0, _LEVELS) or values.device.type != "cpu":
            return functional.dropout(values, self.p, self.training)
        kept = random_levels(values.numel()).view(values.shape) >= dropped - _LEVELS // 2
        return values * kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - dropped))


def random_levels(count: int) -> Tensor:
    """``[count]`` int16, uniform over all 65,536 values, from torch's default generator."""
    wide = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return wide.view(torch.int16)[:count]
