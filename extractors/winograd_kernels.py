"""Compiled loops of :mod:`extractors.winograd`: pictures into transformed tiles, and products back into pictures.

They run in torch's own threads (:mod:`extractors.openmp`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numba.misc.special import literally
from numba.np.numpy_support import carray

from extractors import openmp
from extractors.openmp import FAST, FIRST_WORD, floats_at, team

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_WIDE, _NARROW = 64, 48
"""Channels that a thread works on at once, whichever divides their number: a tile of them stays in its first cache.
Compiled in as constants, without which the loops are not vectorised."""
_TWO, _FOUR, _FIVE, _ZERO = np.float32(2), np.float32(4), np.float32(5), np.float32(0)
_NONE = np.float32(-np.inf)
_WORDS = FIRST_WORD + 8
"""Numbers that a thread is given, see :func:`_run`."""


@njit(inline="always", **FAST)
def _transform_in(source: Any, base: int, step: int, target: Any, count: int) -> None:
    """Six values, ``step`` apart, times the 6 x 6 matrix B^T of F(4, 3), for ``count`` neighbours."""
    for at in range(base, base + count):
        d0, d1, d2 = source[at], source[at + step], source[at + 2 * step]
        d3, d4, d5 = source[at + 3 * step], source[at + 4 * step], source[at + 5 * step]
        even, odd, near, far = d4 - _FOUR * d2, d3 - _FOUR * d1, d4 - d2, _TWO * (d3 - d1)
        target[at] = _FOUR * d0 - _FIVE * d2 + d4
        target[at + step] = even + odd
        target[at + 2 * step] = even - odd
        target[at + 3 * step] = near + far
        target[at + 4 * step] = near - far
        target[at + 5 * step] = _FOUR * d1 - _FIVE * d3 + d5


@njit(inline="always", **FAST)
def _transform_out(source: Any, base: int, step: int, target: Any, onto: int, count: int) -> None:
    """Six values, ``step`` apart, times the 4 x 6 matrix A^T of F(4, 3), for ``count`` neighbours."""
    for at in range(count):
        here, there = base + at, onto + at
        m1, m2 = source[here + step], source[here + 2 * step]
        m3, m4 = source[here + 3 * step], source[here + 4 * step]
        sum12, less12, sum34, less34 = m1 + m2, m1 - m2, m3 + m4, _TWO * (m3 - m4)
        target[there] = source[here] + sum12 + sum34
        target[there + step] = less12 + less34
        target[there + 2 * step] = sum12 + _FOUR * sum34
        target[there + 3 * step] = less12 + _FOUR * less34 + source[here + 5 * step]


@njit(**FAST)
def _pictures_to_tiles(pictures: Any, tiles: Any, first: int, last: int, block: int) -> None:
    """Tiles ``first`` to ``last`` of ``[images, height, width, channels]`` into ``[36, tiles, channels]``."""
    literally(block)
    _, height, width, channels = pictures.shape
    rows, columns = (height + 3) // 4, (width + 3) // 4
    window, half = np.empty(36 * block, np.float32), np.empty(36 * block, np.float32)
    for tile in range(first, last):
        image, place = tile // (rows * columns), tile % (rows * columns)
        top, left = 4 * (place // columns) - 1, 4 * (place % columns) - 1
        for channel in range(0, channels, block):
            for cell in range(36):
                y, x = top + cell // 6, left + cell % 6
                if 0 <= y < height and 0 <= x < width:
                    part = pictures[image, y, x, channel : channel + block]
                    for at in range(block):
                        window[cell * block + at] = part[at]
                else:
                    for at in range(block):
                        window[cell * block + at] = _ZERO
            _transform_in(window, 0, 6 * block, half, 6 * block)
            for row in range(6):
                _transform_in(half, row * 6 * block, block, window, block)
            for cell in range(36):
                part = tiles[cell, tile, channel : channel + block]
                for at in range(block):
                    part[at] = window[cell * block + at]


@njit(**FAST)
def _tiles_to_pictures(tiles: Any, bias: Any, pictures: Any, first: int, last: int, lowest: float, block: int) -> None:
    """Tiles ``first`` to ``last`` of ``[36, tiles, channels]`` into ``[images, height, width, channels]``."""
    literally(block)
    _, height, width, channels = pictures.shape
    rows, columns = (height + 3) // 4, (width + 3) // 4
    window, half = np.empty(36 * block, np.float32), np.empty(24 * block, np.float32)
    done = np.empty(4 * block, np.float32)
    for tile in range(first, last):
        image, place = tile // (rows * columns), tile % (rows * columns)
        top, left = 4 * (place // columns), 4 * (place % columns)
        for channel in range(0, channels, block):
            for cell in range(36):
                part = tiles[cell, tile, channel : channel + block]
                for at in range(block):
                    window[cell * block + at] = part[at]
            _transform_out(window, 0, 6 * block, half, 0, 6 * block)
            added = bias[channel : channel + block]
            for row in range(min(4, height - top)):
                _transform_out(half, row * 6 * block, block, done, 0, block)
                for column in range(min(4, width - left)):
                    part = pictures[image, top + row, left + column, channel : channel + block]
                    for at in range(block):
                        part[at] = max(done[column * block + at] + added[at], lowest)


@njit(**FAST)
def _opened(work: Any) -> Any:
    """Pictures, tiles, bias, the first and last tile of this thread's part, and the least value; see :func:`_run`."""
    images, height, width, channels = work[5], work[6], work[7], work[8]
    count = images * ((height + 3) // 4) * ((width + 3) // 4)
    thread, threads = team(work)
    pictures = carray(floats_at(work[2]), (images, height, width, channels))
    tiles = carray(floats_at(work[3]), (36, count, channels))
    bias = carray(floats_at(work[4]), (channels,))
    lowest = _ZERO if work[9] else _NONE
    return pictures, tiles, bias, count * thread // threads, count * (thread + 1) // threads, lowest


def _in_part(address: Any) -> None:
    """One thread's part of :func:`_pictures_to_tiles`."""
    pictures, tiles, _, first, last, _ = _opened(carray(address, (_WORDS,)))
    if pictures.shape[3] % _WIDE == 0:
        _pictures_to_tiles(pictures, tiles, first, last, _WIDE)
    else:
        _pictures_to_tiles(pictures, tiles, first, last, _NARROW)


def _out_part(address: Any) -> None:
    """One thread's part of :func:`_tiles_to_pictures`."""
    pictures, tiles, bias, first, last, lowest = _opened(carray(address, (_WORDS,)))
    if pictures.shape[3] % _WIDE == 0:
        _tiles_to_pictures(tiles, bias, pictures, first, last, lowest, _WIDE)
    else:
        _tiles_to_pictures(tiles, bias, pictures, first, last, lowest, _NARROW)


def can_run(channels: int) -> bool:
    """Whether the kernels can run here, on so many channels."""
    return (channels % _WIDE == 0 or channels % _NARROW == 0) and openmp.library() is not None


def pictures_to_tiles(pictures: Tensor, tiles: Tensor) -> None:
    """Cut pictures into overlapping tiles of 6 x 6 and transform them (B^T d B).

    Args:
        pictures: ``[images, height, width, channels]`` float32, contiguous; zeros are thought around them.
        tiles: ``[36, images * rows * columns, channels]``, contiguous, written to; ``rows`` and ``columns`` are
            a quarter of height and width, rounded up.
    """
    _run(_in_part, pictures, tiles, None, relu=False)


def tiles_to_pictures(tiles: Tensor, bias: Tensor, pictures: Tensor, *, relu: bool) -> None:
    """Transform products back (A^T m A), add the bias, and put the 4 x 4 results side by side.

    Args:
        tiles: ``[36, images * rows * columns, channels]``, contiguous.
        bias: ``[channels]``.
        pictures: ``[images, height, width, channels]`` float32, contiguous, written to.
        relu: whether negative values become 0.
    """
    _run(_out_part, pictures, tiles, bias, relu=relu)


def _run(part: Callable[[Any], None], pictures: Tensor, tiles: Tensor, bias: Tensor | None, *, relu: bool) -> None:
    """Run a kernel; each thread takes an equal part of the tiles."""
    addresses = [openmp.address_of(tensor) for tensor in (pictures, tiles, bias)]
    openmp.run(part, *addresses, *pictures.shape, relu)
