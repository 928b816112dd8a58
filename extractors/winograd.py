"""3 x 3 convolutions on a CPU with a quarter of the multiplications: Winograd's F(4 x 4, 3 x 3).

A tile of 6 x 6 inputs is transformed, 36 matrix products over the channels follow, and each tile of 36 results is
transformed into 4 x 4 outputs. Rounding differs from a direct convolution's by about 1e-5 of the largest output, as it
does on GPUs, where cuDNN does the same.

Source: Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

import torch
from torch import nn

from extractors import packed_product
from extractors.packed_product import PackedMatrix

if TYPE_CHECKING:
    from torch import Tensor

_WEIGHT_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""G of F(4, 3), for the points 0, 1, -1, 2, -2 and infinity."""

_BYTES = 10 << 20
"""Of tiles that are transformed at once, with their products: they stay in a cache."""

_LEAST_CHANNELS = 24
"""``in * out / (in + out)`` above which the products that are saved outweigh the transforms. Measured on two cores."""

_LEAST_TILES = 48
"""A batch of fewer tiles spends its time on reading the weights, of which there are four times as many."""


def suits(conv: nn.Conv2d, input_shape: list[int]) -> bool:
    """Whether a convolution can run this way here, and faster.

    Args:
        conv: any.
        input_shape: ``[images, channels, height, width]`` of the batches to come.
    """
    inputs, outputs, (images, _, height, width) = conv.in_channels, conv.out_channels, input_shape
    return (
        conv.kernel_size == (3, 3)
        and (conv.stride, conv.padding, conv.dilation) == ((1, 1), (1, 1), (1, 1))
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and inputs * outputs >= _LEAST_CHANNELS * (inputs + outputs)
        and images * _quarter(height) * _quarter(width) >= _LEAST_TILES
        and packed_product.suits(inputs=inputs, outputs=outputs, rows=packed_product.LEAST_ROWS)
    )


class WinogradConv2d(nn.Module):
    """A 3 x 3 convolution of stride 1 and padding 1, on channels-last float32 pictures.

    Args:
        conv: one that :func:`suits`, with its batch norm folded in.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        matrix = torch.tensor(_WEIGHT_TRANSFORM, dtype=torch.float64)
        weight = torch.einsum("ai,kcij,bj->abck", matrix, conv.weight.detach().double(), matrix)
        weight = weight.flatten(0, 1).float()
        self._matrix = PackedMatrix(weight.transpose(1, 2))
        self._bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().contiguous()

    def forward(self, x: Tensor, *, then: str = "none") -> Tensor:
        """Convolve ``[images, channels, height, width]``; ``then`` is ``none`` or ``relu``.

        A value that is not finite spreads over the outputs of its tile.

        Raises:
            TypeError: If the pictures are not float32 on the CPU.
        """
        from extractors.winograd_kernels import pictures_to_tiles, tiles_to_pictures
        from extractors.winograd_microkernel import CELLS

        pictures = x.permute(0, 2, 3, 1).contiguous()
        images, height, width, channels = pictures.shape
        out = pictures.new_empty(images, height, width, len(self._bias))
        a_picture = _quarter(height) * _quarter(width)
        most = max(_BYTES // (4 * CELLS * (channels + len(self._bias)) * a_picture), 1)
        at_once = _whole_tiles(most, a_picture)
        for first in range(0, images, at_once):
            some = pictures[first : first + at_once]
            tiles = pictures.new_empty(CELLS, len(some) * a_picture, channels)
            pictures_to_tiles(some, tiles)
            products = self._matrix.times(tiles, unit=a_picture)
            tiles_to_pictures(products, self._bias, out[first : first + at_once], relu=then == "relu")
        return out.permute(0, 3, 1, 2)


def _whole_tiles(pictures: int, places: int) -> int:
    """At most so many pictures, which fill the tiles of pairs of their products if they can."""
    from extractors.strassen_microkernel import HIGH

    step = HIGH // gcd(HIGH, -(-places // 2))
    return pictures // step * step or pictures


def _quarter(side: int) -> int:
    return -(-side // 4)
