"""The innermost loops of :mod:`extractors.product_kernels`, written in LLVM's own language.

Numba's loops cannot hold a tile of sums in vector registers; that of :func:`_multiply` does.
A tile has a few rows and one or two vectors of columns. Rows come in groups of :data:`DEPTH` numbers, a group of each
row of the tile after the other; columns come as one or two vectors for each number of a row. Both are read from front
to back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

DEPTH = 16
"""Numbers of a row that lie together, and that are multiplied before the loop turns."""


def _lanes_and_heights() -> tuple[int, tuple[int, int, int]]:
    """Numbers in a vector, and heights of tiles: with the largest, sums fill the registers but for a few."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16, (4, 8, 14)
    if features.get("avx2") and features.get("fma"):
        return 8, (2, 4, 6)
    return 0, (1, 1, 1)


LANES, HEIGHTS = _lanes_and_heights()
"""0 lanes: this CPU has no such vectors."""

_WORD, _FLOAT, _FLAG = ir.IntType(64), ir.FloatType(), ir.IntType(32)
_CACHE_LINE = 64


class _Emitter:
    """Writes instructions that take addresses.

    Args:
        builder: of the function to put them in.
    """

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def load(self, address: Any, number: int, kind: Any) -> Any:
        """What lies ``number`` floats after an address."""
        return self.builder.load(self._place(address, number, kind), align=4)

    def store(self, value: Any, address: Any, number: int) -> None:
        """Put a value ``number`` floats after an address."""
        self.builder.store(value, self._place(address, number, value.type), align=4)

    def forward(self, address: Any, nbytes: int) -> Any:
        """An address, moved."""
        return self.builder.add(address, ir.Constant(_WORD, nbytes))

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """One of LLVM's own functions."""
        module = self.builder.module
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(module.globals.get(name) or ir.Function(module, kind, name), arguments)

    @contextmanager
    def loop(self, times: Any, carried: list[Any]) -> Iterator[list[Any]]:
        """A loop that turns at least once; what is carried is changed in place, and holds the last values after it.

        Args:
            times: how often.
            carried: values before the first turn.
        """
        builder, before = self.builder, self.builder.block
        body, after = builder.append_basic_block("turn"), builder.append_basic_block("after")
        builder.branch(body)
        builder.position_at_end(body)
        first = [times, *carried]
        phis = [builder.phi(value.type) for value in first]
        changed = phis[1:]
        yield changed
        left = builder.sub(phis[0], ir.Constant(_WORD, 1))
        for phi, start, later in zip(phis, first, [left, *changed], strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(later, builder.block)
        builder.cbranch(builder.icmp_signed(">", left, ir.Constant(_WORD, 0)), body, after)
        builder.position_at_end(after)

    def _place(self, address: Any, number: int, kind: Any) -> Any:
        return self.builder.inttoptr(self.forward(address, 4 * number), ir.PointerType(kind))


class _Tile(_Emitter):
    """A tile of a product.

    Args:
        builder: of the function to put it in.
        rows: of the tile.
        vectors: of columns.
        lanes: numbers in a vector.
    """

    def __init__(self, builder: Any, *, rows: int, vectors: int, lanes: int) -> None:
        super().__init__(builder)
        self._rows, self._vectors, self._lanes = rows, vectors, lanes
        self._kind = ir.VectorType(_FLOAT, lanes)

    def emit(
        self, rows: Any, columns: Any, groups: Any, bias: Any, out: Any, stride: Any, add: Any, least: Any
    ) -> None:
        """See :func:`_multiply`."""
        lines = [self.builder.add(out, self.builder.mul(stride, ir.Constant(_WORD, row))) for row in range(self._rows)]
        self._fetch(lines)
        zero = ir.Constant(self._kind, [0.0] * self._lanes)
        with self.loop(groups, [rows, columns, *[zero] * (self._rows * self._vectors)]) as carried:
            carried[2:] = self._group(carried[0], carried[1], carried[2:])
            carried[0] = self.forward(carried[0], DEPTH * self._rows * 4)
            carried[1] = self.forward(carried[1], DEPTH * self._vectors * self._lanes * 4)
        self._finish(carried[2:], bias, lines, add, least)

    def _group(self, row_at: Any, column_at: Any, sums: list[Any]) -> list[Any]:
        """``DEPTH`` numbers of each row times their columns, added to the sums."""
        sums, name = list(sums), f"llvm.fma.v{self._lanes}f32"
        for deep in range(DEPTH):
            across = [
                self.load(column_at, (deep * self._vectors + vector) * self._lanes, self._kind)
                for vector in range(self._vectors)
            ]
            for row in range(self._rows):
                spread = self._spread(self.load(row_at, row * DEPTH + deep, _FLOAT))
                for vector in range(self._vectors):
                    at = row * self._vectors + vector
                    sums[at] = self.call(name, self._kind, spread, across[vector], sums[at])
        return sums

    def _finish(self, sums: list[Any], bias: Any, lines: list[Any], add: Any, least: Any) -> None:
        """Sums and bias, onto what is there if that is wanted, and no less than the least: into the result."""
        builder, floor = self.builder, self._spread(least)
        added = [self.load(bias, vector * self._lanes, self._kind) for vector in range(self._vectors)]
        sums = [builder.fadd(value, added[at % self._vectors]) for at, value in enumerate(sums)]
        places = [(line, vector * self._lanes) for line in lines for vector in range(self._vectors)]
        with builder.if_else(builder.icmp_signed("!=", add, ir.Constant(_WORD, 0))) as (onto, alone):
            with onto:
                for value, place in zip(sums, places, strict=True):
                    self.store(self._bounded(builder.fadd(value, self.load(*place, self._kind)), floor), *place)
            with alone:
                for value, place in zip(sums, places, strict=True):
                    self.store(self._bounded(value, floor), *place)

    def _bounded(self, value: Any, floor: Any) -> Any:
        """The greater of both; NaN stays NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", value, floor), floor, value)

    def _spread(self, number: Any) -> Any:
        """A number in every lane."""
        nothing = ir.Constant(self._kind, ir.Undefined)
        alone = self.builder.insert_element(nothing, number, ir.Constant(_FLAG, 0))
        everywhere = ir.Constant(ir.VectorType(_FLAG, self._lanes), [0] * self._lanes)
        return self.builder.shuffle_vector(alone, nothing, everywhere)

    def _fetch(self, lines: list[Any]) -> None:
        """Ask for the part of the result that will be written: waiting for it afterwards costs a tenth."""
        for line in lines:
            for byte in range(0, self._vectors * self._lanes * 4, _CACHE_LINE):
                place = self.builder.inttoptr(self.forward(line, byte), ir.PointerType(ir.IntType(8)))
                to_write = [ir.Constant(_FLAG, value) for value in (1, 3, 1)]
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
            _Tile(builder, rows=rows, vectors=vectors, lanes=LANES or 4).emit(*arguments)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7, types.float32), lower

    return intrinsic(typed)


def _group_row(_: Any, source: Any, target: Any, groups: Any, step: Any) -> Any:
    """A row to where its groups belong, ``step`` bytes apart."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emitter, (first, onto, times, apart) = _Emitter(builder), arguments
        with emitter.loop(times, [first, onto]) as carried:
            emitter.store(emitter.load(carried[0], 0, ir.VectorType(_FLOAT, DEPTH)), carried[1], 0)
            carried[0] = emitter.forward(carried[0], 4 * DEPTH)
            carried[1] = builder.add(carried[1], apart)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), lower


multiply_low_1, multiply_middle_1, multiply_high_1 = (_multiply(rows, 1) for rows in HEIGHTS)
multiply_low_2, multiply_middle_2, multiply_high_2 = (_multiply(rows, 2) for rows in HEIGHTS)
group_row: Any = intrinsic(_group_row)
