"""Compiled loops of :mod:`extractors.packed_product`: rows times packed columns, in torch's own threads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.np.numpy_support import carray

from extractors.openmp import FAST, FIRST_WORD, floats_at, take, team
from extractors.product_microkernel import (
    DEPTH,
    HEIGHTS,
    group_row,
    multiply_high_1,
    multiply_high_2,
    multiply_low_1,
    multiply_low_2,
    multiply_middle_1,
    multiply_middle_2,
)
from extractors.vector_code import LANES

MOST_INPUTS = 1024
"""Inputs that are multiplied before their sums are added to the result."""
ROWS_BYTES = 12 * HEIGHTS[-1] * MOST_INPUTS * 4
"""Rows that a thread holds at once: they stay in its second cache."""
TILE_BYTES = HEIGHTS[-1] * 2 * LANES * 4
SCRATCH_BYTES = ROWS_BYTES + TILE_BYTES
"""What a thread needs: rows in groups, and a spare tile."""
WORDS = FIRST_WORD + 11
"""Numbers that a thread is given, see :func:`multiply_part`."""

_LEAST = 2
"""Tiles that a thread takes at once, at least."""
_LOW, _MIDDLE, _HIGH = HEIGHTS
_WIDE, _NARROW = 2 * LANES, LANES
_ZERO, _NONE = np.float32(0), np.float32(-np.inf)


@njit(**FAST)
def height(rows: int) -> int:
    """The lowest tile that holds so many rows."""
    if rows > _MIDDLE:
        return _HIGH
    return _MIDDLE if rows > _LOW else _LOW


@njit(**FAST)
def group_rows(x: int, width: int, first: int, last: int, start: int, stop: int, target: int) -> None:
    """Rows ``first`` to ``last``, numbers ``start`` to ``stop``, tile by tile; the last row fills its tile."""
    count = stop - start
    for top in range(first, last, _HIGH):
        high = height(last - top)
        for row in range(high):
            source = x + 4 * (min(top + row, last - 1) * width + start)
            tile = target + 4 * (top - first) * count
            group_row(source, tile + 4 * DEPTH * row, count // DEPTH, 4 * DEPTH * high)


@njit(**FAST)
def multiply_tile(
    rows: int,
    columns: int,
    high: int,
    wide: bool,
    groups: int,
    bias: int,
    out: int,
    stride: int,
    add: int,
    least: float,
) -> None:
    """A whole tile."""
    if wide:
        if high == _HIGH:
            multiply_high_2(rows, columns, groups, bias, out, stride, add, least)
        elif high == _MIDDLE:
            multiply_middle_2(rows, columns, groups, bias, out, stride, add, least)
        else:
            multiply_low_2(rows, columns, groups, bias, out, stride, add, least)
    elif high == _HIGH:
        multiply_high_1(rows, columns, groups, bias, out, stride, add, least)
    elif high == _MIDDLE:
        multiply_middle_1(rows, columns, groups, bias, out, stride, add, least)
    else:
        multiply_low_1(rows, columns, groups, bias, out, stride, add, least)


@njit(**FAST)
def _copy_tile(source: int, source_step: int, target: int, target_step: int, rows: int, width: int) -> None:
    for row in range(rows):
        numbers = carray(floats_at(source + row * source_step), (width,))
        there = carray(floats_at(target + row * target_step), (width,))
        for at in range(width):
            there[at] = numbers[at]


@njit(**FAST)
def _multiply_part_of_tile(
    rows: int, columns: int, there: int, wide: bool, groups: int, bias: int, out: int, stride: int, add: int,
    least: float, spare: int,
) -> None:  # fmt: skip
    """A tile of which the result has ``there`` rows only: by way of a whole one in spare memory."""
    width = _WIDE if wide else _NARROW
    if add != 0:
        _copy_tile(out, stride, spare, 4 * width, there, width)
    multiply_tile(rows, columns, height(there), wide, groups, bias, spare, 4 * width, add, least)
    _copy_tile(spare, 4 * width, out, stride, there, width)


@njit(**FAST)
def _room(inputs: int) -> int:
    """Tiles of rows that a thread has memory for."""
    return ROWS_BYTES // (4 * _HIGH * min(inputs, MOST_INPUTS))


@njit(**FAST)
def _multiply_rows(
    x: int,
    weight: int,
    bias: int,
    out: int,
    products: int,
    inputs: int,
    outputs: int,
    first: int,
    last: int,
    scratch: int,
    zeros: int,
    add: bool,
    relu: bool,
) -> None:
    """Rows ``first`` to ``last`` of a product, which lie between those of others; no more than fit."""
    spare, stride = scratch + ROWS_BYTES, 4 * products * outputs
    for start in range(0, inputs, MOST_INPUTS):
        stop = min(start + MOST_INPUTS, inputs)
        count, begin = stop - start, start == 0
        group_rows(x, products * inputs, first, last, start, stop, scratch)
        least = _ZERO if relu and stop == inputs else _NONE
        onto = 1 if add or not begin else 0
        for column in range(0, outputs, _WIDE):
            width = min(_WIDE, outputs - column)
            columns = weight + 4 * (column * inputs + start * width)
            added = bias + 4 * column if begin and bias != 0 else zeros
            for row in range(first, last, _HIGH):
                there = min(last - row, _HIGH)
                rows = scratch + 4 * (row - first) * count
                target = out + stride * row + 4 * column
                if there == height(there):
                    multiply_tile(
                        rows, columns, there, width == _WIDE, count // DEPTH, added, target, stride, onto, least
                    )
                else:
                    _multiply_part_of_tile(
                        rows, columns, there, width == _WIDE, count // DEPTH, added, target, stride, onto, least, spare
                    )


def multiply_part(address: Any) -> None:
    """One thread's part of some products: tiles of rows, as many as it gets done.

    After those of :func:`extractors.openmp.team`, the numbers are the addresses of ``x``, ``weight``, ``bias``, ``out``
    and scratch memory; how many products, their rows, inputs and outputs; whether they are added to what is there; and
    whether ReLU follows. A bias at 0 is none.
    """
    work = carray(address, (WORDS,))
    x, weight, bias, out, scratch = work[3], work[4], work[5], work[6], work[7]
    products, rows, inputs, outputs = work[8], work[9], work[10], work[11]
    tiles, zeros = (rows + _HIGH - 1) // _HIGH, np.zeros(_WIDE, np.float32)
    thread, _ = team(work)
    product, first, end = take(work, products, tiles, _LEAST, _room(inputs))
    while product < products:
        _multiply_rows(
            x + 4 * product * inputs,
            weight + 4 * product * inputs * outputs,
            bias,
            out + 4 * product * outputs,
            products,
            inputs,
            outputs,
            first * _HIGH,
            min(end * _HIGH, rows),
            scratch + thread * SCRATCH_BYTES,
            zeros.ctypes.data,
            work[12] != 0,
            work[13] != 0,
        )
        product, first, end = take(work, products, tiles, _LEAST, _room(inputs))
