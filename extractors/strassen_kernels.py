"""Compiled loops of :mod:`extractors.packed_product` for rows in pairs: seven products of quarters instead of eight."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.np.numpy_support import carray

from extractors.openmp import FAST, FIRST_WORD, take, team
from extractors.product_microkernel import AHEAD_BYTES, DEPTH
from extractors.strassen_microkernel import (
    COMBINED,
    HIGH,
    KEPT,
    KEPT_BYTES,
    OPERANDS,
    multiply_first_pairs,
    multiply_pairs,
    pair_rows,
)
from extractors.vector_code import LANES

MOST_INPUTS = 1024
"""Inputs that are multiplied before their sums are added to the result."""
_TILES = 28
"""Of pairs that a thread holds at once, at most: the first, which makes the columns' combinations, takes an eighth to a
sixth longer than the others."""
_LEAST = 4
"""Tiles that a thread takes at once, at least."""
_LEAST_UNIT, _LEAST_SIDE = 4, 128
_ROWS_AHEAD = 2
"""How far ahead of those that are laid out rows are asked for."""
_BEYOND = 2 * HIGH + MOST_INPUTS // 2 // DEPTH
"""Lines that may be asked for past the last."""
_WIDE = 2 * LANES
_ROWS_BYTES = OPERANDS * 7 * HIGH * MOST_INPUTS // 2 * 4
"""Of the pairs that a thread holds. More than its second cache holds; with fewer at once, first tiles took longer."""
_COLUMNS_BYTES = COMBINED * _WIDE * MOST_INPUTS // 2 * 4
_OWN_BYTES = _ROWS_BYTES + _COLUMNS_BYTES + KEPT * KEPT_BYTES
WORDS = FIRST_WORD + 12
"""Numbers that a thread is given, see :func:`multiply_pairs_part`."""
_ZERO, _NONE = np.float32(0), np.float32(-np.inf)


def suits(*, unit: int, inputs: int, outputs: int) -> bool:
    """Whether pairs within units of so many rows are quicker multiplied than rows one by one. Measured on two cores."""
    return (
        unit >= _LEAST_UNIT
        and min(inputs, outputs) >= _LEAST_SIDE
        and inputs % (2 * DEPTH) == 0
        and outputs % (2 * _WIDE) == 0
    )


def scratch_bytes(outputs: int) -> int:
    """What a thread needs for a product of so many columns.

    Operands, combinations of columns, sums that wait, and a line for results that nobody reads.
    """
    return _OWN_BYTES + 4 * outputs


@njit(**FAST)
def _pair(number: int, unit: int) -> Any:
    """The rows of a pair; the lower one of the last pair of an odd unit is -1."""
    pairs = (unit + 1) // 2
    upper = number // pairs * unit + number % pairs
    return upper, upper + pairs if number % pairs + pairs < unit else -1


@njit(**FAST)
def _pair_tiles(
    x: int, stride: int, unit: int, first: int, last: int, start: int, count: int, nothing: int, target: int
) -> None:
    """Pairs ``first`` to ``last``, numbers from ``start``; the last pair fills its tile."""
    apart, tiles = 4 * HIGH * (count // 2), (last - first + HIGH - 1) // HIGH
    for tile in range(tiles):
        for row in range(HIGH):
            upper, lower = _pair(min(first + tile * HIGH + row, last - 1), unit)
            over = x + stride * upper + 4 * start
            under = nothing if lower < 0 else x + stride * lower + 4 * start
            place = target + tile * OPERANDS * apart + 4 * DEPTH * row
            pair_rows(over, under, 2 * count, stride * _ROWS_AHEAD, place, apart, count // 2 // DEPTH)


@njit(**FAST)
def _find_lines(lines: Any, out: int, stride: int, unit: int, first: int, last: int, nowhere: int) -> None:
    """Where the results of pairs ``first`` to ``last`` go, upper and then lower ones of each tile."""
    for tile in range((last - first + HIGH - 1) // HIGH):
        for row in range(HIGH):
            number, at = first + tile * HIGH + row, 2 * tile * HIGH + row
            upper, lower = _pair(min(number, last - 1), unit)
            lines[at] = out + stride * upper if number < last else nowhere
            lines[at + HIGH] = out + stride * lower if number < last and lower >= 0 else nowhere


@njit(inline="always", **FAST)  # called, it takes a tenth longer as soon as two threads run it
def _multiply_columns(
    rows: int, apart: int, tiles: int, weight: int, inputs: int, start: int, across: int, count: int, bias: int,
    combined: int, kept: int, nothing: int, lines: int, onto: int, least: float,
) -> None:  # fmt: skip
    """Some tiles of pairs times ``count`` numbers of every column, two panels at a time."""
    half, groups = count // 2 * _WIDE * 4, count // 2 // DEPTH
    step = 8 * ((HIGH + groups - 1) // groups)
    for column in range(0, across, _WIDE):
        left = weight + 4 * (column * inputs + start * _WIDE)
        right = left + 4 * across * inputs
        bias_left = bias + 4 * column if bias != 0 else nothing
        bias_right = bias + 4 * (across + column) if bias != 0 else nothing
        multiply_first_pairs(
            rows, apart, left, right, combined, half, groups, kept, lines, step, left,
            bias_left, bias_right, 4 * column, 4 * (across + column), onto, least,
        )  # fmt: skip
        for tile in range(1, tiles):
            # Three tiles ask for the next left panel, a part each, and three for the right one.
            part = (tile - 1) % 3 * OPERANDS * groups * AHEAD_BYTES
            ahead = (left if tile <= 3 else right) + 4 * _WIDE * inputs + part if tile <= 6 else left
            multiply_pairs(
                rows + tile * OPERANDS * apart, apart, left, right, combined, half, groups, kept,
                lines + tile * 2 * HIGH * 8, step, ahead,
                bias_left, bias_right, 4 * column, 4 * (across + column), onto, least,
            )  # fmt: skip


@njit(**FAST)
def _room(inputs: int) -> int:
    """Tiles of pairs that a thread has memory for."""
    return min(_ROWS_BYTES // (OPERANDS * HIGH * min(inputs, MOST_INPUTS) * 2), _TILES)


@njit(**FAST)
def _multiply(
    x: int, weight: int, bias: int, out: int, products: int, inputs: int, outputs: int, unit: int, first: int,
    last: int, scratch: int, add: bool, relu: bool, nothing: int, lines: Any,
) -> None:  # fmt: skip
    """Pairs ``first`` to ``last`` of a product, whose rows lie between those of others; no more than fit."""
    combined = scratch + _ROWS_BYTES
    kept = combined + _COLUMNS_BYTES
    tiles = (last - first + HIGH - 1) // HIGH
    _find_lines(lines, out, 4 * products * outputs, unit, first, last, kept + KEPT * KEPT_BYTES)
    for start in range(0, inputs, MOST_INPUTS):
        count = min(MOST_INPUTS, inputs - start)
        _pair_tiles(x, 4 * products * inputs, unit, first, last, start, count, nothing, scratch)
        _multiply_columns(
            scratch, 4 * HIGH * (count // 2), tiles, weight, inputs, start, outputs // 2, count,
            bias if start == 0 else 0, combined, kept, nothing, lines.ctypes.data,
            1 if add or start > 0 else 0, _ZERO if relu and start + count == inputs else _NONE,
        )  # fmt: skip


def multiply_pairs_part(address: Any) -> None:
    """One thread's part of some products: tiles of pairs, as many as it gets done.

    The numbers are those of :func:`extractors.product_kernels.multiply_part`, and the rows of a unit.
    """
    work = carray(address, (WORDS,))
    x, weight, bias, out, scratch = work[3], work[4], work[5], work[6], work[7]
    products, rows, inputs, outputs, unit = work[8], work[9], work[10], work[11], work[14]
    pairs = rows // unit * ((unit + 1) // 2)
    tiles = (pairs + HIGH - 1) // HIGH
    nothing, lines = np.zeros(MOST_INPUTS, np.float32), np.zeros(2 * HIGH * _TILES + _BEYOND, np.int64)
    thread, _ = team(work)
    product, first, end = take(work, products, tiles, _LEAST, _room(inputs))
    while product < products:
        _multiply(
            x + 4 * product * inputs,
            weight + 4 * product * inputs * outputs,
            bias,
            out + 4 * product * outputs,
            products,
            inputs,
            outputs,
            unit,
            first * HIGH,
            min(end * HIGH, pairs),
            scratch + thread * (_OWN_BYTES + 4 * outputs),
            work[12] != 0,
            work[13] != 0,
            nothing.ctypes.data,
            lines,
        )
        product, first, end = take(work, products, tiles, _LEAST, _room(inputs))
