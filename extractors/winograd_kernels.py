"""Compiled loops of :mod:`extractors.winograd`: pictures into transformed tiles, and products back into pictures.

They run in torch's own threads (:mod:`extractors.openmp`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numba.np.numpy_support import carray

from extractors import openmp
from extractors.openmp import FAST, FIRST_WORD, share
from extractors.vector_code import LANES
from extractors.winograd_microkernel import CELLS, PLACES, tile_in, tile_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_WORDS = FIRST_WORD + 8
"""Numbers that a thread is given, see :func:`_run`."""
_ZERO, _NONE = np.float32(0), np.float32(-np.inf)


@njit(**FAST)
def _place(work: Any, image: int, y: int, x: int, elsewhere: int) -> int:
    """The address of a place of a picture; ``elsewhere`` for what lies outside."""
    height, width, channels = work[6], work[7], work[8]
    if 0 <= y < height and 0 <= x < width:
        elsewhere = work[2] + 4 * channels * ((image * height + y) * width + x)
    return elsewhere


@njit(**FAST)
def _mine(work: Any) -> Any:
    """Tiles in a column and a row of a picture, tiles of all pictures, and the first and last of this thread's."""
    rows, columns = (work[6] + 3) // 4, (work[7] + 3) // 4
    count = work[5] * rows * columns
    _, first, last = share(work, count)
    return rows, columns, count, first, last


def _in_part(address: Any) -> None:
    """One thread's part of :func:`pictures_to_tiles`."""
    work = carray(address, (_WORDS,))
    rows, columns, count, first, last = _mine(work)
    channels, nothing, places = work[8], np.zeros(work[8], np.float32), np.empty(CELLS, np.int64)
    for tile in range(first, last):
        image, at = tile // (rows * columns), tile % (rows * columns)
        top, left = 4 * (at // columns) - 1, 4 * (at % columns) - 1
        for cell in range(CELLS):
            places[cell] = _place(work, image, top + cell // 6, left + cell % 6, nothing.ctypes.data)
        tile_in(places.ctypes.data, work[3] + 4 * channels * tile, 4 * channels * count, channels // LANES)


def _out_part(address: Any) -> None:
    """One thread's part of :func:`tiles_to_pictures`."""
    work = carray(address, (_WORDS,))
    rows, columns, count, first, last = _mine(work)
    channels, nowhere, places = work[8], np.empty(work[8], np.float32), np.empty(PLACES, np.int64)
    least = _ZERO if work[9] != 0 else _NONE
    for tile in range(first, last):
        image, at = tile // (rows * columns), tile % (rows * columns)
        top, left = 4 * (at // columns), 4 * (at % columns)
        for cell in range(PLACES):
            places[cell] = _place(work, image, top + cell // 4, left + cell % 4, nowhere.ctypes.data)
        source = work[3] + 4 * channels * tile
        tile_out(source, 4 * channels * count, work[4], least, places.ctypes.data, channels // LANES)


def can_run(channels: int) -> bool:
    """Whether the kernels can run here, on so many channels."""
    return LANES > 0 and channels % LANES == 0 and openmp.library() is not None


def pictures_to_tiles(pictures: Tensor, tiles: Tensor) -> None:
    """Cut pictures into overlapping tiles of 6 x 6 and transform them (B^T d B).

    Args:
        pictures: ``[images, height, width, channels]`` float32, contiguous; zeros are thought around them.
        tiles: ``[36, images * rows * columns, channels]``, contiguous, written to; ``rows`` and ``columns`` are
            a quarter of height and width, rounded up.

    Raises:
        ValueError: If shapes do not fit each other, or channels no whole vectors.
    """
    _run(_in_part, pictures, tiles, None, relu=False)


def tiles_to_pictures(tiles: Tensor, bias: Tensor, pictures: Tensor, *, relu: bool) -> None:
    """Transform products back (A^T m A), add the bias, and put the 4 x 4 results side by side.

    Args:
        tiles: ``[36, images * rows * columns, channels]``, contiguous.
        bias: ``[channels]``.
        pictures: ``[images, height, width, channels]`` float32, contiguous, written to.
        relu: whether negative values become 0.

    Raises:
        ValueError: As :func:`pictures_to_tiles`.
    """
    _run(_out_part, pictures, tiles, bias, relu=relu)


def _run(part: Callable[[Any], None], pictures: Tensor, tiles: Tensor, bias: Tensor | None, *, relu: bool) -> None:
    """Run a kernel; each thread takes an equal part of the tiles."""
    images, height, width, channels = pictures.shape
    expected = (CELLS, images * -(-height // 4) * -(-width // 4), channels)
    if not can_run(channels) or tiles.shape != expected or (bias is not None and bias.shape != (channels,)):
        shapes = [list(tensor.shape) for tensor in (pictures, tiles, bias) if tensor is not None]
        raise ValueError(f"pictures, tiles, bias {shapes}: expected tiles {list(expected)}, channels in {LANES}s")
    addresses = [openmp.address_of(tensor) for tensor in (pictures, tiles, bias)]
    openmp.run(part, *addresses, *pictures.shape, relu)
