"""The innermost loops of :mod:`extractors.product_kernels`, written in LLVM's own language.

Numba's loops cannot hold a tile of sums in vector registers; that of :func:`_multiply` does.
A tile has a few rows and one or two vectors of columns. Rows come in groups of :data:`DEPTH` numbers, a group of each
row of the tile after the other; columns come as one or two vectors for each number of a row. Both are read from front
to back.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from extractors.vector_code import FLAG, FLOAT, LANES, WORD, Emitter, vector

DEPTH = 16
"""Numbers of a row that lie together, and that are multiplied before the loop turns."""

HEIGHTS = (4, 8, 14) if LANES == 16 else (2, 4, 6)
"""Rows of tiles: with the most, sums fill the registers but for a few."""

_CACHE_LINE = 64


class _Tile(Emitter):
    """A tile of a product.

    Args:
        builder: of the function to put it in.
        rows: of the tile.
        vectors: of columns.
    """

    def __init__(self, builder: Any, *, rows: int, vectors: int) -> None:
        super().__init__(builder)
        self._rows, self._vectors = rows, vectors
        self._kind = vector(LANES)

    def emit(
        self, rows: Any, columns: Any, groups: Any, bias: Any, out: Any, stride: Any, add: Any, least: Any
    ) -> None:
        """See :func:`_multiply`."""
        lines = [self.builder.add(out, self.builder.mul(stride, ir.Constant(WORD, row))) for row in range(self._rows)]
        self._fetch(lines)
        zero = ir.Constant(self._kind, [0.0] * LANES)
        with self.loop(groups, [rows, columns, *[zero] * (self._rows * self._vectors)]) as carried:
            carried[2:] = self._group(carried[0], carried[1], carried[2:])
            carried[0] = self.forward(carried[0], DEPTH * self._rows * 4)
            carried[1] = self.forward(carried[1], DEPTH * self._vectors * LANES * 4)
        self._finish(carried[2:], bias, lines, add, least)

    def _group(self, row_at: Any, column_at: Any, sums: list[Any]) -> list[Any]:
        """``DEPTH`` numbers of each row times their columns, added to the sums."""
        sums, name = list(sums), f"llvm.fma.v{LANES}f32"
        for deep in range(DEPTH):
            across = [
                self.load(column_at, (deep * self._vectors + at) * LANES, self._kind) for at in range(self._vectors)
            ]
            for row in range(self._rows):
                spread = self.spread(self.load(row_at, row * DEPTH + deep, FLOAT))
                for at in range(self._vectors):
                    place = row * self._vectors + at
                    sums[place] = self.call(name, self._kind, spread, across[at], sums[place])
        return sums

    def _finish(self, sums: list[Any], bias: Any, lines: list[Any], add: Any, least: Any) -> None:
        """Sums and bias, onto what is there if that is wanted, and no less than the least: into the result."""
        builder, floor = self.builder, self.spread(least)
        added = [self.load(bias, at * LANES, self._kind) for at in range(self._vectors)]
        sums = [builder.fadd(value, added[at % self._vectors]) for at, value in enumerate(sums)]
        places = [(line, at * LANES) for line in lines for at in range(self._vectors)]
        with builder.if_else(builder.icmp_signed("!=", add, ir.Constant(WORD, 0))) as (onto, alone):
            with onto:
                for value, place in zip(sums, places, strict=True):
                    self.store(self.bounded(builder.fadd(value, self.load(*place, self._kind)), floor), *place)
            with alone:
                for value, place in zip(sums, places, strict=True):
                    self.store(self.bounded(value, floor), *place)

    def _fetch(self, lines: list[Any]) -> None:
        """Ask for the part of the result that will be written: waiting for it afterwards costs a tenth."""
        for line in lines:
            for byte in range(0, self._vectors * LANES * 4, _CACHE_LINE):
                place = self.builder.inttoptr(self.forward(line, byte), ir.PointerType(ir.IntType(8)))
                to_write = [ir.Constant(FLAG, value) for value in (1, 3, 1)]
                self.call("llvm.prefetch.p0", ir.VoidType(), place, *to_write)


def _multiply(rows: int, vectors: int) -> Any:
    """A tile's loop, callable from compiled code.

    Its arguments: addresses of the tile's rows and columns; how many groups, at least one; addresses of the bias and of
    the result, and the result's bytes a row; whether to add to the result that is there; and the least value.
    """

    def typed(
        _: Any, rows_at: Any, columns_at: Any, groups: Any, bias: Any, out: Any, stride: Any, add: Any, least: Any
    ) -> Any:
        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _Tile(builder, rows=rows, vectors=vectors).emit(*arguments)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7, types.float32), lower

    return intrinsic(typed)


def _group_row(_: Any, source: Any, target: Any, groups: Any, step: Any) -> Any:
    """A row to where its groups belong, ``step`` bytes apart."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emitter, (first, onto, times, apart) = Emitter(builder), arguments
        with emitter.loop(times, [first, onto]) as carried:
            emitter.store(emitter.load(carried[0], 0, vector(DEPTH)), carried[1], 0)
            carried[0] = emitter.forward(carried[0], 4 * DEPTH)
            carried[1] = builder.add(carried[1], apart)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), lower


multiply_low_1, multiply_middle_1, multiply_high_1 = (_multiply(rows, 1) for rows in HEIGHTS)
multiply_low_2, multiply_middle_2, multiply_high_2 = (_multiply(rows, 2) for rows in HEIGHTS)
group_row: Any = intrinsic(_group_row)
