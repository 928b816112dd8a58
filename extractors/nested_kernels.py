"""Compiled loops of :mod:`extractors.packed_product` for rows in fours: 49 products of sixteenths instead of 64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.np.numpy_support import carray

from extractors.nested_microkernel import (
    HELD_BYTES,
    difference,
    hidden,
    multiply_first_quads,
    multiply_quads,
    quad_rows,
)
from extractors.openmp import FAST, FIRST_WORD, floats_at, share
from extractors.product_microkernel import AHEAD_BYTES, DEPTH
from extractors.strassen_microkernel import COMBINED, HIGH, KEPT, KEPT_BYTES, OPERANDS, divides
from extractors.vector_code import LANES

MOST_INPUTS = 1024
"""Inputs that are multiplied before their sums are added to the result."""
_TILES = 14
"""Of rows in fours that a thread holds at once, at most."""
_SIDE = 4
_CACHE_LINE = 64
_LEAST_UNIT, _LEAST_SIDE, _LEAST_WEIGHTS = 128, 1024, 1 << 21
_WIDE = 2 * LANES
_LINES = _SIDE * HIGH
_BEYOND = _LINES + MOST_INPUTS // _SIDE // DEPTH
"""Lines that may be asked for past the last."""

_TILE_BYTES = OPERANDS * OPERANDS * (HIGH * MOST_INPUTS // _SIDE * 4 + _CACHE_LINE)
_ROWS_BYTES = _TILES * _TILE_BYTES
_HELD_BYTES = _TILES * 2 * HELD_BYTES
_PANELS_BYTES = 2 * _WIDE * MOST_INPUTS // 2 * 4
"""Of a quarter of the outer scheme: half of the numbers of two panels."""
_COLUMNS_BYTES = COMBINED * _WIDE * MOST_INPUTS // _SIDE * 4
_OWN_BYTES = _ROWS_BYTES + _HELD_BYTES + HELD_BYTES + 2 * _PANELS_BYTES + _COLUMNS_BYTES + KEPT * KEPT_BYTES
WORDS = FIRST_WORD + 12
"""Numbers that a thread is given, see :func:`multiply_quads_part`."""
_ZERO, _NONE = np.float32(0), np.float32(-np.inf)


def suits(*, unit: int, inputs: int, outputs: int) -> bool:
    """Whether fours within units of so many rows are quicker multiplied than pairs. Measured on two cores."""
    return (
        unit >= _LEAST_UNIT
        and min(inputs, outputs) >= _LEAST_SIDE
        and inputs * outputs >= _LEAST_WEIGHTS
        and divides(_SIDE, inputs=inputs, outputs=outputs)
    )


def scratch_bytes(outputs: int) -> int:
    """What a thread needs for a product of so many columns."""
    return _OWN_BYTES + 4 * outputs


@njit(**FAST)
def _apart(count: int) -> int:
    """Bytes from an operand of a tile's rows to the next: no power of two, which would lie in few lines of a cache."""
    return 4 * HIGH * (count // _SIDE) + _CACHE_LINE


@njit(**FAST)
def _row_of_four(number: int, member: int, unit: int) -> int:
    """A row of four, of which the upper pair is the first two; -1 where an uneven unit has no more."""
    fours = (unit + _SIDE - 1) // _SIDE
    within = number % fours + member * fours
    return number // fours * unit + within if within < unit else -1


@njit(**FAST)
def _quad_tiles(
    x: int, inputs: int, unit: int, first: int, last: int, start: int, count: int, nothing: int, target: int
) -> None:
    """Fours ``first`` to ``last``, numbers from ``start``; the last one fills its tile."""
    apart, tiles = _apart(count), (last - first + HIGH - 1) // HIGH
    rows = np.empty(_SIDE, np.int64)
    for tile in range(tiles):
        for at in range(HIGH):
            for member in range(_SIDE):
                row = _row_of_four(min(first + tile * HIGH + at, last - 1), member, unit)
                rows[member] = nothing if row < 0 else x + 4 * (row * inputs + start)
            place = target + tile * OPERANDS * OPERANDS * apart + 4 * DEPTH * at
            quad_rows(rows[0], rows[1], rows[2], rows[3], count, place, apart, count // _SIDE // DEPTH)


@njit(**FAST)
def _find_lines(lines: Any, out: int, stride: int, unit: int, first: int, last: int, nowhere: int) -> None:
    """Where the results of fours go: of each tile the first rows of its fours, the second ones, and so on."""
    for tile in range((last - first + HIGH - 1) // HIGH):
        for at in range(HIGH):
            number = first + tile * HIGH + at
            for member in range(_SIDE):
                row = _row_of_four(number, member, unit) if number < last else -1
                lines[tile * _LINES + member * HIGH + at] = nowhere if row < 0 else out + stride * row


@njit(**FAST)
def _step(
    rows: int, count: int, tiles: int, left: int, right: int, memory: int, lines: int, ahead: int, bias_left: int,
    bias_right: int, across: int, beyond: int, add: int, least: float, more: int, held: int, onto: int,
) -> None:  # fmt: skip
    """A product of the outer scheme, for some tiles. Addresses are those of the first tile; 0 for nothing."""
    groups, apart, half = count // _SIDE // DEPTH, _apart(count), 4 * _WIDE * (count // _SIDE)
    step, part = 8 * ((HIGH + groups - 1) // groups), OPERANDS * groups * AHEAD_BYTES
    parts = 4 * _WIDE * count // part
    kept, later = memory + _COLUMNS_BYTES, OPERANDS * OPERANDS * apart
    zeros = kept + KEPT * KEPT_BYTES
    multiply_first_quads(
        rows, apart, left, right, memory, half, groups, kept, lines, step, left,
        bias_left, bias_right, across, beyond, add, least, more, held if held != 0 else zeros, onto, later,
    )  # fmt: skip
    for tile in range(1, tiles):
        forth = tile * 2 * HELD_BYTES
        multiply_quads(
            rows + tile * OPERANDS * OPERANDS * apart, apart, left, right, memory, half, groups, kept,
            lines + tile * _LINES * 8, step, ahead + (tile - 1) * part if tile <= parts else left,
            bias_left, bias_right, across, beyond, add, least, more + forth if more != 0 else 0,
            held + forth if held != 0 else zeros, onto + forth if onto != 0 else 0,
            later if tile + 1 < tiles else 0,
        )  # fmt: skip


@njit(**FAST)
def _panels_less(one: int, two: int, other: int, other_two: int, target: int, count: int) -> None:
    """Half of two panels less that of two others."""
    vectors = count // 2 * _WIDE // LANES
    difference(one, other, target, vectors)
    difference(two, other_two, target + 4 * LANES * vectors, vectors)


@njit(**FAST)
def _multiply_block(
    rows: int, tiles: int, weight: int, inputs: int, across: int, column: int, count: int, bias: int, memory: int,
    lines: int, nowhere: int, add: int, least: float,
) -> None:  # fmt: skip
    """Some tiles of fours times ``count`` numbers of four panels, which lie a quarter of the columns apart."""
    after, apart, down = 4 * _WIDE * inputs, 4 * across * inputs, 4 * _WIDE * (count // 2)
    operand = OPERANDS * _apart(count)
    l0 = weight + 4 * column * inputs
    l1, r0, r1 = l0 + apart, l0 + 2 * apart, l0 + 3 * apart
    x = memory + _COLUMNS_BYTES + KEPT * KEPT_BYTES + HELD_BYTES
    y, sums = x + _PANELS_BYTES, x + 2 * _PANELS_BYTES
    others = sums + HELD_BYTES
    c0, c1 = 4 * column, 4 * (column + across)
    c2, c3 = c0 + 8 * across, c1 + 8 * across
    b0, b1, b2, b3 = bias + c0, bias + c1, bias + c2, bias + c3
    lower = lines + 8 * 2 * HIGH
    a11, a12, s2, s3 = rows, rows + operand, rows + 2 * operand, rows + 3 * operand
    a22, s1, s4 = rows + 4 * operand, rows + 5 * operand, rows + 6 * operand

    none = hidden(0)
    _step(a11, count, tiles, l0, l1, memory, nowhere, l0, b0, b1, none, none, none, least, none, none, sums)
    _step(a12, count, tiles, l0 + down, l1 + down, memory, lines, l0, b0, b1, c0, c1, add, least, sums, none, none)
    _panels_less(r0, r1, l0, l1, x, count)
    _panels_less(r0 + down, r1 + down, x, x + down, y, count)
    _step(s2, count, tiles, y, y + down, memory, nowhere, l0, b0, b1, none, none, none, least, none, sums, sums)
    _step(
        s1, count, tiles, x, x + down, memory, nowhere, l0 + after, b0, b1, none, none, none, least, none, sums, others
    )
    _panels_less(r0 + down, r1 + down, r0, r1, x, count)
    _panels_less(l0 + down, l1 + down, y, y + down, y, count)
    _step(s3, count, tiles, x, x + down, memory, lower, l1 + after, b2, b3, c2, c3, add, least, others, sums, sums)
    _step(a22, count, tiles, y, y + down, memory, lower, r0 + after, b0, b1, c0, c1, add, least, sums, none, none)
    _step(
        s4,
        count,
        tiles,
        r0 + down,
        r1 + down,
        memory,
        lines,
        r1 + after,
        b2,
        b3,
        c2,
        c3,
        add,
        least,
        others,
        none,
        none,
    )


@njit(**FAST)
def _multiply(
    x: int, weight: int, bias: int, out: int, inputs: int, outputs: int, unit: int, first: int, last: int,
    scratch: int, add: bool, relu: bool, nothing: int, lines: Any, nowhere: Any,
) -> None:  # fmt: skip
    """Fours ``first`` to ``last``."""
    all_tiles, across = (last - first + HIGH - 1) // HIGH, outputs // _SIDE
    turns = (all_tiles + _TILES - 1) // _TILES
    for turn in range(turns):
        begin, end = all_tiles * turn // turns, all_tiles * (turn + 1) // turns
        top, bottom = first + begin * HIGH, min(first + end * HIGH, last)
        _find_lines(lines, out, 4 * outputs, unit, top, bottom, nowhere[0])
        for start in range(0, inputs, MOST_INPUTS):
            count = min(MOST_INPUTS, inputs - start)
            _quad_tiles(x, inputs, unit, top, bottom, start, count, nothing, scratch)
            for column in range(0, across, _WIDE):
                _multiply_block(
                    scratch, end - begin, weight + 4 * start * _WIDE, inputs, across, column, count,
                    bias if start == 0 and bias != 0 else nothing, scratch + _ROWS_BYTES,
                    lines.ctypes.data, nowhere.ctypes.data, 1 if add or start > 0 else 0,
                    _ZERO if relu and start + count == inputs else _NONE,
                )  # fmt: skip


def multiply_quads_part(address: Any) -> None:
    """One thread's part of a product: an equal number of tiles of fours.

    The numbers are those of :func:`extractors.strassen_kernels.multiply_pairs_part`, of a single product.
    """
    work = carray(address, (WORDS,))
    rows, inputs, outputs, unit = work[8], work[9], work[10], work[13]
    fours = rows // unit * ((unit + _SIDE - 1) // _SIDE)
    thread, first, last = share(work, (fours + HIGH - 1) // HIGH)
    scratch = work[6] + thread * (_OWN_BYTES + 4 * outputs)
    zeros = carray(floats_at(scratch + _ROWS_BYTES + _COLUMNS_BYTES + KEPT * KEPT_BYTES), (HELD_BYTES // 4,))
    zeros[:] = 0
    nothing, lines = np.zeros(max(MOST_INPUTS, outputs), np.float32), np.empty(_TILES * _LINES + _BEYOND, np.int64)
    nowhere = np.full(_TILES * _LINES + _BEYOND, scratch + _OWN_BYTES, np.int64)
    lines[:] = nowhere
    if first < last:
        _multiply(
            work[2], work[3], work[4], work[5], inputs, outputs, unit, first * HIGH, min(last * HIGH, fours), scratch,
            work[11] != 0, work[12] != 0, nothing.ctypes.data, lines, nowhere,
        )  # fmt: skip
