"""Compiled loops of :mod:`extractors.winograd`: pictures into transformed tiles, and products back into pictures.

They run in torch's own threads (:mod:`extractors.openmp`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numba.np.numpy_support import carray

from extractors import openmp
from extractors.openmp import FAST, FIRST_WORD, take_some
from extractors.vector_code import LANES
from extractors.winograd_microkernel import tile_in_large, tile_in_small, tile_out_large, tile_out_small
from extractors.winograd_schemes import LARGE, TAPS, Scheme

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_WORDS = FIRST_WORD + 9
"""Numbers that a thread is given, see :func:`_run`."""
_ZERO, _NONE = np.float32(0), np.float32(-np.inf)
_LARGE = LARGE.outputs


@njit(**FAST)
def _place(work: Any, image: int, y: int, x: int, elsewhere: int) -> int:
    """The address of a place of a picture; ``elsewhere`` for what lies outside."""
    height, width, channels = work[7], work[8], work[9]
    if 0 <= y < height and 0 <= x < width:
        elsewhere = work[3] + 4 * channels * ((image * height + y) * width + x)
    return elsewhere


@njit(**FAST)
def _sides(work: Any) -> Any:
    """Outputs of a tile's side, tiles in a column and a row of a picture."""
    outputs = work[11]
    return outputs, (work[7] + outputs - 1) // outputs, (work[8] + outputs - 1) // outputs


def _in_part(address: Any) -> None:
    """One thread's part of :func:`pictures_to_tiles`."""
    work = carray(address, (_WORDS,))
    outputs, rows, columns = _sides(work)
    side, channels = outputs + TAPS - 1, work[9]
    nothing, places = np.zeros(channels, np.float32), np.empty(side * side, np.int64)
    first, last = take_some(work, work[6] * rows * columns)
    while first < last:
        for tile in range(first, last):
            image, at = tile // (rows * columns), tile % (rows * columns)
            top, left = outputs * (at // columns) - 1, outputs * (at % columns) - 1
            for cell in range(side * side):
                places[cell] = _place(work, image, top + cell // side, left + cell % side, nothing.ctypes.data)
            target = work[4] + 4 * channels * side * side * tile
            if outputs == _LARGE:
                tile_in_large(places.ctypes.data, target, 4 * channels, channels // LANES)
            else:
                tile_in_small(places.ctypes.data, target, 4 * channels, channels // LANES)
        first, last = take_some(work, work[6] * rows * columns)


def _out_part(address: Any) -> None:
    """One thread's part of :func:`tiles_to_pictures`."""
    work = carray(address, (_WORDS,))
    outputs, rows, columns = _sides(work)
    side, channels = outputs + TAPS - 1, work[9]
    nowhere, places = np.empty(channels, np.float32), np.empty(outputs * outputs, np.int64)
    least = _ZERO if work[10] != 0 else _NONE
    first, last = take_some(work, work[6] * rows * columns)
    while first < last:
        for tile in range(first, last):
            image, at = tile // (rows * columns), tile % (rows * columns)
            top, left = outputs * (at // columns), outputs * (at % columns)
            for cell in range(outputs * outputs):
                places[cell] = _place(work, image, top + cell // outputs, left + cell % outputs, nowhere.ctypes.data)
            source = work[4] + 4 * channels * side * side * tile
            if outputs == _LARGE:
                tile_out_large(source, 4 * channels, work[5], least, places.ctypes.data, channels // LANES)
            else:
                tile_out_small(source, 4 * channels, work[5], least, places.ctypes.data, channels // LANES)
        first, last = take_some(work, work[6] * rows * columns)


def can_run(channels: int) -> bool:
    """Whether the kernels can run here, on so many channels."""
    return LANES > 0 and channels % LANES == 0 and openmp.library() is not None


def pictures_to_tiles(pictures: Tensor, tiles: Tensor, scheme: Scheme) -> None:
    """Cut pictures into overlapping tiles and transform them (B^T d B).

    Args:
        pictures: ``[images, height, width, channels]`` float32, contiguous; zeros are thought around them.
        tiles: ``[images * scheme.tiles(height, width), scheme.cells, channels]``, contiguous, written to.
        scheme: one of :mod:`extractors.winograd_schemes`.

    Raises:
        ValueError: If shapes do not fit each other, or channels no whole vectors.
    """
    _run(_in_part, pictures, tiles, None, scheme, relu=False)


def tiles_to_pictures(tiles: Tensor, bias: Tensor, pictures: Tensor, scheme: Scheme, *, relu: bool) -> None:
    """Transform products back (A^T m A), add the bias, and put the results side by side.

    Args:
        tiles: ``[images * scheme.tiles(height, width), scheme.cells, channels]``, contiguous.
        bias: ``[channels]``.
        pictures: ``[images, height, width, channels]`` float32, contiguous, written to.
        scheme: that of the tiles.
        relu: whether negative values become 0.

    Raises:
        ValueError: As :func:`pictures_to_tiles`.
    """
    _run(_out_part, pictures, tiles, bias, scheme, relu=relu)


def _run(
    part: Callable[[Any], None], pictures: Tensor, tiles: Tensor, bias: Tensor | None, scheme: Scheme, *, relu: bool
) -> None:
    """Run a kernel in all threads."""
    images, height, width, channels = pictures.shape
    expected = (images * scheme.tiles(height, width), scheme.cells, channels)
    if not can_run(channels) or tiles.shape != expected or (bias is not None and bias.shape != (channels,)):
        shapes = [list(tensor.shape) for tensor in (pictures, tiles, bias) if tensor is not None]
        raise ValueError(f"pictures, tiles, bias {shapes}: expected tiles {list(expected)}, channels in {LANES}s")
    addresses = [openmp.address_of(tensor) for tensor in (pictures, tiles, bias)]
    openmp.run(part, *addresses, *pictures.shape, relu, scheme.outputs)
