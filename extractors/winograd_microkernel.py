"""The innermost loops of :mod:`extractors.winograd_kernels`: a tile's transforms, done in vector registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from extractors.vector_code import LANES, WORD, Emitter, vector
from extractors.winograd_schemes import LARGE, SMALL, Scheme, vanishing


class _Transform(Emitter):
    """One vector of channels of a tile."""

    def __init__(self, builder: Any, scheme: Scheme) -> None:
        super().__init__(builder)
        self._scheme = scheme

    def inwards(self, d: Sequence[Any]) -> list[Any]:
        """The values of a tile's column or row at all points: times B^T."""
        squares, zero = [point**2 for point in self._scheme.pairs], int(self._scheme.zero)
        all_points = vanishing(squares)
        values = [self._sum(all_points, d[0::2])] if zero else []
        for at, point in enumerate(self._scheme.pairs):
            others = vanishing(squares[:at] + squares[at + 1 :])
            even, odd = self._sum(others, d[zero:-1:2]), self._sum(others, d[zero + 1 :: 2])
            values += [self._onto(odd, point, even), self._onto(odd, -point, even)]
        return [*values, self._sum(all_points, d[zero::2])]

    def outwards(self, m: Sequence[Any]) -> list[Any]:
        """Outputs of a column or row of their values at all points: times A^T."""
        zero, pairs = int(self._scheme.zero), self._scheme.pairs
        above, below = m[zero:-1:2], m[zero + 1 : -1 : 2]
        sums = [self.builder.fadd(*both) for both in zip(above, below, strict=True)]
        differences = [self.builder.fsub(*both) for both in zip(above, below, strict=True)]
        values = [self._sum([point**at for point in pairs], (sums, differences)[at % 2]) for at in range(len(m) - 2)]
        if zero:
            values[0] = self.builder.fadd(values[0], m[0])
        values[-1] = self.builder.fadd(values[-1], m[-1])
        return values

    def columns(self, count: int, once: Callable[[Sequence[Any]], list[Any]], load: Callable[[Any, int], Any]) -> Any:
        """A transform of the columns of a square of cells, into memory.

        In a loop, so that its values fit the registers.

        Args:
            count: values of a transformed column.
            once: transforms a column.
            load: loads a cell of some column and row.

        Returns:
            Where the first transformed value of the first column lies. Columns follow each other.
        """
        side = self._scheme.side
        begun = self.memory(side * count)
        with self.loop(ir.Constant(WORD, side), [begun, ir.Constant(WORD, 0)]) as carried:
            for at, value in enumerate(once([load(carried[1], row) for row in range(side)])):
                self.store(value, carried[0], at * LANES)
            carried[0] = self.forward(carried[0], 4 * LANES * count)
            carried[1] = self.forward(carried[1], 1)
        return begun

    def rows(
        self, begun: Any, count: int, once: Callable[[Sequence[Any]], list[Any]], target: Any, ahead: Any,
        store: Callable[[Any, Any, int], None],
    ) -> None:  # fmt: skip
        """A transform of the rows of what :meth:`columns` left.

        Args:
            begun: where it lies.
            count: of the rows.
            once: transforms a row.
            target: where the first row goes.
            ahead: bytes from there to where the next one goes.
            store: keeps a value of a row, given where the row goes and the value's number.
        """
        with self.loop(ir.Constant(WORD, count), [begun, target]) as carried:
            row = [self.load(carried[0], at * count * LANES, vector(LANES)) for at in range(self._scheme.side)]
            for at, value in enumerate(once(row)):
                store(value, carried[1], at)
            carried[0] = self.forward(carried[0], 4 * LANES)
            carried[1] = self.builder.add(carried[1], ahead)

    def _sum(self, factors: Sequence[float], values: Sequence[Any]) -> Any:
        """Of as many values as there are factors, each times its own; those with a factor of 1 come first."""
        terms = sorted(zip(factors, values, strict=False), key=lambda term: term[0] != 1)
        factor, total = terms[0]
        if factor != 1:
            total = self.builder.fmul(self.constant(factor), total)
        for factor, value in terms[1:]:
            total = self.builder.fadd(total, value) if factor == 1 else self._onto(total, factor, value)
        return total

    def _onto(self, total: Any, factor: float, value: Any) -> Any:
        """``total + factor * value``, rounded once."""
        return self.times_plus(self.constant(factor), value, total)


def _tile_in(scheme: Scheme) -> Any:
    """Transforms a tile, callable from compiled code.

    Its arguments: addresses of the tile's places in a picture and of its first cell, bytes between cells, vectors.
    """

    def typed(_: Any, sources: Any, target: Any, apart: Any, vectors: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            code, kind = _Transform(builder, scheme), vector(LANES)
            table, onto, stride, times = arguments
            with code.loop(times, [ir.Constant(WORD, 0)]) as carried:

                def load(column: Any, row: int) -> Any:
                    cell = builder.add(table, builder.shl(column, ir.Constant(WORD, 3)))
                    return code.load(builder.add(code.address(cell, row * scheme.side), carried[0]), 0, kind)

                def store(value: Any, place: Any, at: int) -> None:
                    code.store(value, builder.add(place, builder.mul(stride, ir.Constant(WORD, at))), 0)

                begun = code.columns(scheme.side, code.inwards, load)
                a_row = builder.mul(stride, ir.Constant(WORD, scheme.side))
                code.rows(begun, scheme.side, code.inwards, builder.add(onto, carried[0]), a_row, store)
                carried[0] = code.forward(carried[0], 4 * LANES)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 4), lower

    return intrinsic(typed)


def _tile_out(scheme: Scheme) -> Any:
    """Transforms a tile back, callable from compiled code.

    Its arguments: address of the tile's first cell, bytes between cells, address of the bias, the least value,
    addresses of the tile's places in a picture, vectors.
    """

    def typed(_: Any, source: Any, apart: Any, bias: Any, least: Any, targets: Any, vectors: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            code, kind = _Transform(builder, scheme), vector(LANES)
            source, stride, added, lowest, table, times = arguments
            floor = code.spread(lowest)
            with code.loop(times, [ir.Constant(WORD, 0)]) as carried:
                biased = code.load(builder.add(added, carried[0]), 0, kind)

                def load(column: Any, row: int) -> Any:
                    cell = builder.add(column, ir.Constant(WORD, row * scheme.side))
                    return code.load(builder.add(builder.add(source, carried[0]), builder.mul(stride, cell)), 0, kind)

                def store(value: Any, places: Any, at: int) -> None:
                    place = builder.add(code.address(places, at), carried[0])
                    code.store(code.bounded(builder.fadd(value, biased), floor), place, 0)

                begun = code.columns(scheme.outputs, code.outwards, load)
                code.rows(begun, scheme.outputs, code.outwards, table, ir.Constant(WORD, 8 * scheme.outputs), store)
                carried[0] = code.forward(carried[0], 4 * LANES)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 3, types.float32, *[types.int64] * 2), lower

    return intrinsic(typed)


tile_in_small, tile_out_small = _tile_in(SMALL), _tile_out(SMALL)
tile_in_large, tile_out_large = _tile_in(LARGE), _tile_out(LARGE)
