"""Dropout with a mask that is cheap to draw on a CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """Dropout with 16 random bits per value on a CPU; torch's own on other devices.

    Torch draws a CPU mask one double at a time on one thread, a tenth of a training step here. The probability is
    rounded to 1/65536, and what is kept is scaled by exactly the share that is kept.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Any shape to the same."""
        dropped = round(self.p * _LEVELS)
        if not self.training or dropped in (0, _LEVELS) or values.device.type != "cpu":
            return functional.dropout(values, self.p, self.training)
        levels = random_levels(values.numel()).view(values.shape)
        mask = torch.empty(values.shape, dtype=values.dtype)
        torch.ge(levels, dropped - _LEVELS // 2, out=mask)
        return values * mask.mul_(_LEVELS / (_LEVELS - dropped))


def random_levels(count: int) -> Tensor:
    """``[count]`` int16, uniform over all 65,536 values; torch's default generator gives the seed of each call.

    The numbers are those of NumPy's SFC64, which takes half the time of torch's Mersenne twister.
    """
    seed = int(torch.randint(2**63 - 1, ()))
    wide = np.random.SFC64(seed).random_raw((count + 3) // 4)
    return torch.from_numpy(wide.view(np.int16))[:count]
