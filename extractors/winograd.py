"""3 x 3 convolutions on a CPU with a fifth to a quarter of the multiplications: Winograd's F(4 x 4) and F(7 x 7).

A tile of inputs is transformed, matrix products over the channels follow, one for each cell of the tile, and each tile
of results is transformed into outputs (:mod:`extractors.winograd_schemes`). Rounding differs from a direct
convolution's by about 1e-5 of the largest output, and by up to 1e-4 with the larger tiles; a GPU's, which multiplies in
TF32 unless torch is told not to, by about 1e-3.

Source: Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

import torch
from torch import nn

from extractors import packed_product
from extractors.packed_product import PackedMatrix
from extractors.scratch_memory import scratch_memory
from extractors.winograd_schemes import LARGE, SMALL, TAPS, Scheme

if TYPE_CHECKING:
    from torch import Tensor

_BYTES = 10 << 20
"""Of tiles that are transformed at once, with their products: they stay in a cache."""

_LEAST_CHANNELS = 24
"""``in * out / (in + out)`` above which the products that are saved outweigh the transforms. Measured on two cores."""

_LEAST_TILES = 32
"""A batch of fewer tiles spends its time on reading the weights, of which there are four or nine times as many."""


def suits(conv: nn.Conv2d, input_shape: list[int]) -> bool:
    """Whether a convolution can run this way here, and faster.

    Args:
        conv: any.
        input_shape: ``[images, channels, height, width]`` of the batches to come.
    """
    inputs, outputs = conv.in_channels, conv.out_channels
    return (
        conv.kernel_size == (TAPS, TAPS)
        and (conv.stride, conv.padding, conv.dilation) == ((1, 1), (1, 1), (1, 1))
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and inputs * outputs >= _LEAST_CHANNELS * (inputs + outputs)
        and best_scheme(input_shape) is not None
        and packed_product.suits(inputs=inputs, outputs=outputs, rows=packed_product.LEAST_ROWS)
    )


def best_scheme(input_shape: list[int]) -> Scheme | None:
    """That with the fewest multiplications of those with enough tiles.

    Args:
        input_shape: ``[images, channels, height, width]`` of the batches to come.
    """
    images, _, height, width = input_shape
    enough = [scheme for scheme in (SMALL, LARGE) if images * scheme.tiles(height, width) >= _LEAST_TILES]
    return min(enough, key=lambda scheme: scheme.cells * scheme.tiles(height, width), default=None)


class WinogradConv2d(nn.Module):
    """A 3 x 3 convolution of stride 1 and padding 1, on channels-last float32 pictures.

    Args:
        conv: one that :func:`suits`, with its batch norm folded in.
        scheme: how large the tiles are.
    """

    def __init__(self, conv: nn.Conv2d, scheme: Scheme) -> None:
        super().__init__()
        matrix = torch.tensor(scheme.weight_transform, dtype=torch.float64)
        weight = torch.einsum("ai,kcij,bj->abkc", matrix, conv.weight.detach().double(), matrix)
        self._scheme = scheme
        self._matrix = PackedMatrix(weight.flatten(0, 1).float())
        self._bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().contiguous()

    def forward(self, x: Tensor, *, then: str = "none") -> Tensor:
        """Convolve ``[images, channels, height, width]``; ``then`` is ``none`` or ``relu``.

        A value that is not finite spreads over the outputs of its tile.

        Raises:
            TypeError: If the pictures are not float32 on the CPU.
        """
        from extractors.winograd_kernels import pictures_to_tiles, tiles_to_pictures

        scheme, pictures = self._scheme, x.permute(0, 2, 3, 1).contiguous()
        images, height, width, channels = pictures.shape
        out = pictures.new_empty(images, height, width, len(self._bias))
        a_picture = scheme.tiles(height, width)
        most = max(_BYTES // (4 * scheme.cells * (channels + len(self._bias)) * a_picture), 1)
        at_once = _whole_tiles(most, a_picture)
        for first in range(0, images, at_once):
            some = pictures[first : first + at_once]
            tiles, products = self._memory(len(some) * a_picture)
            pictures_to_tiles(some, tiles, scheme)
            self._matrix.times(tiles, unit=a_picture, into=products)
            tiles_to_pictures(products, self._bias, out[first : first + at_once], scheme, relu=then == "relu")
        return out.permute(0, 3, 1, 2)

    def _memory(self, tiles: int) -> tuple[Tensor, Tensor]:
        """For so many tiles and their products."""
        sizes = [tiles * self._scheme.cells * channels for channels in (self._matrix.inputs, self._matrix.outputs)]
        both = scratch_memory("tiles", 4 * sum(sizes)).view(torch.float32)[: sum(sizes)].split(sizes)
        first, second = (part.view(tiles, self._scheme.cells, -1) for part in both)
        return first, second


def _whole_tiles(pictures: int, places: int) -> int:
    """At most so many pictures, which fill the tiles of pairs of their products if they can."""
    from extractors.strassen_microkernel import HIGH

    step = HIGH // gcd(HIGH, -(-places // 2))
    return pictures // step * step or pictures
