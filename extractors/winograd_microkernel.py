"""The innermost loops of :mod:`extractors.winograd_kernels`: a tile's transforms, done in vector registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from extractors.vector_code import LANES, WORD, Emitter, vector

CELLS, PLACES = 36, 16
"""Of a transformed tile, and of what it becomes in a picture."""


class _Transform(Emitter):
    """One vector of channels of a tile."""

    def inwards(self, d: Sequence[Any]) -> list[Any]:
        """Six values times the 6 x 6 matrix B^T of F(4, 3)."""
        even, odd = self._less(d[4], 4, d[2]), self._less(d[3], 4, d[1])
        near, far = self._minus(d[4], d[2]), self._times(2, self._minus(d[3], d[1]))
        first = self._plus(self._less(self._times(4, d[0]), 5, d[2]), d[4])
        last = self._plus(self._less(self._times(4, d[1]), 5, d[3]), d[5])
        return [
            first, self._plus(even, odd), self._minus(even, odd), self._plus(near, far), self._minus(near, far), last,
        ]  # fmt: skip

    def outwards(self, m: Sequence[Any]) -> list[Any]:
        """Six values times the 4 x 6 matrix A^T of F(4, 3)."""
        sum12, less12 = self._plus(m[1], m[2]), self._minus(m[1], m[2])
        sum34, less34 = self._plus(m[3], m[4]), self._times(2, self._minus(m[3], m[4]))
        return [
            self._plus(self._plus(m[0], sum12), sum34),
            self._plus(less12, less34),
            self._plus(sum12, self._times(4, sum34)),
            self._plus(self._plus(less12, self._times(4, less34)), m[5]),
        ]

    def both_ways(self, cells: Sequence[Any], once: Callable[[Sequence[Any]], list[Any]]) -> list[Any]:
        """A transform of the columns of 6 x 6 cells, then of the rows of what that gives, row by row."""
        columns = [once(cells[column::6]) for column in range(6)]
        return [value for row in zip(*columns, strict=True) for value in once(row)]

    def _plus(self, one: Any, other: Any) -> Any:
        return self.builder.fadd(one, other)

    def _minus(self, one: Any, other: Any) -> Any:
        return self.builder.fsub(one, other)

    def _times(self, factor: float, value: Any) -> Any:
        return self.builder.fmul(ir.Constant(value.type, [float(factor)] * value.type.count), value)

    def _less(self, value: Any, factor: float, other: Any) -> Any:
        return self._minus(value, self._times(factor, other))


def _tile_in(_: Any, sources: Any, target: Any, apart: Any, vectors: Any) -> Any:
    """Transform a tile: addresses of its :data:`CELLS` places and its first cell, bytes between cells, vectors."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, kind = _Transform(builder), vector(LANES)
        table, onto, stride, times = arguments
        with code.loop(times, [ir.Constant(WORD, 0)]) as carried:
            begun = [builder.add(code.address(table, cell), carried[0]) for cell in range(CELLS)]
            done = code.both_ways([code.load(place, 0, kind) for place in begun], code.inwards)
            place = builder.add(onto, carried[0])
            for value in done:
                code.store(value, place, 0)
                place = builder.add(place, stride)
            carried[0] = code.forward(carried[0], 4 * LANES)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), lower


def _tile_out(_: Any, source: Any, apart: Any, bias: Any, least: Any, targets: Any, vectors: Any) -> Any:
    """Transform a tile back: address of its first cell, bytes between cells, address of the bias, the least value,
    addresses of its :data:`PLACES`, vectors.
    """

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, kind = _Transform(builder), vector(LANES)
        begun, stride, added, lowest, table, times = arguments
        floor = code.spread(lowest)
        with code.loop(times, [ir.Constant(WORD, 0)]) as carried:
            place, cells = builder.add(begun, carried[0]), []
            for _ in range(CELLS):
                cells.append(code.load(place, 0, kind))
                place = builder.add(place, stride)
            biased = code.load(builder.add(added, carried[0]), 0, kind)
            for at, value in enumerate(code.both_ways(cells, code.outwards)):
                result = code.bounded(builder.fadd(value, biased), floor)
                code.store(result, builder.add(code.address(table, at), carried[0]), 0)
            carried[0] = code.forward(carried[0], 4 * LANES)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3, types.float32, *[types.int64] * 2), lower


tile_in: Any = intrinsic(_tile_in)
tile_out: Any = intrinsic(_tile_out)
