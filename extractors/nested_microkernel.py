"""The innermost loops of :mod:`extractors.nested_kernels`: Strassen's scheme within Strassen's scheme.

Rows come in fours: an upper and a lower pair, whose quarters are multiplied as the outer scheme says, each product by
the inner scheme of :mod:`extractors.strassen_microkernel`. Its results are a tile for each quarter of the inner scheme;
what the outer one adds them to waits in memory.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from extractors.product_microkernel import DEPTH
from extractors.strassen_microkernel import HIGH, KEPT_BYTES, OPERANDS, PairTile, seven_operands
from extractors.vector_code import LANES, WORD, Emitter, vector

HELD_BYTES = 4 * KEPT_BYTES
"""Of the results of an inner product, a tile for each of its quarters."""
_SIDE = 4
"""Rows that belong together, and the parts that each is cut into."""


class _NestedTile(PairTile):
    """Tiles of an inner product, which are kept, or are the result, or both.

    Args:
        builder: of the function to put it in.
        combining: as :class:`PairTile` has it.
        more: address of what is added to a result; 0 where there is none.
        held: address of what is added to what is kept.
        onto: address where it is kept; 0 if it is not.
    """

    def __init__(self, builder: Any, *, combining: bool, more: Any, held: Any, onto: Any, later: Any) -> None:
        super().__init__(builder, combining=combining, later=later)
        self._more, self._held, self._onto = more, held, onto
        self._spare, self._ended = self.memory(KEPT_BYTES // (4 * LANES)), 0

    def end(self, sums: list[Any], bias: Any, table: Any, offset: Any, add: Any, least: Any) -> None:
        """As that of a tile of pairs, with what the outer scheme adds."""
        more, held, onto = (
            self.forward(place, KEPT_BYTES * self._ended) for place in (self._more, self._held, self._onto)
        )
        self._ended += 1
        # Held in registers until it is known what becomes of them, they would drive others out in the loops before.
        self.keep(sums, self._spare)
        there = self.hidden(self._spare)
        with self.builder.if_then(self._is_wanted(self._onto)):
            self.keep(self.plus(self.kept(there), held), onto)
        with self.builder.if_then(self._is_wanted(self._more)):
            super().end(self.plus(self.kept(there), more), bias, table, offset, add, least)

    def _is_wanted(self, address: Any) -> Any:
        return self.builder.icmp_signed("!=", address, ir.Constant(WORD, 0))


def _multiply_quads(*, combining: bool) -> Any:
    """A product of the outer scheme for a tile, callable from compiled code.

    Its arguments: those of :data:`extractors.strassen_microkernel.multiply_pairs`; and the addresses of what is added
    to the result, of what is added to what is kept, and of where it is kept, the first and the last 0 for none.
    """

    def typed(
        _: Any, rows: Any, apart: Any, left: Any, right: Any, combined: Any, half: Any, groups: Any, kept: Any,
        lines: Any, step: Any, ahead: Any, bias_left: Any, bias_right: Any, across: Any, beyond: Any, add: Any,
        least: Any, more: Any, held: Any, onto: Any, later: Any,
    ) -> Any:  # fmt: skip
        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            *inner, more, held, onto, later = arguments
            _NestedTile(builder, combining=combining, more=more, held=held, onto=onto, later=later).emit(*inner)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 16, types.float32, *[types.int64] * 4), lower

    return intrinsic(typed)


def _quad_rows(
    _: Any, first: Any, second: Any, third: Any, fourth: Any, part: Any, target: Any, apart: Any, groups: Any
) -> Any:
    """Four rows as the operands of both schemes, where their groups belong.

    Addresses of the rows, bytes of a quarter of one, address of the first group, bytes between operands, groups of a
    quarter.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, kind = Emitter(builder), vector(DEPTH)
        rows, (quarter, onto, step, times) = arguments[:_SIDE], arguments[_SIDE:]
        with code.loop(times, [*rows, onto]) as carried:
            starts = [builder.mul(quarter, ir.Constant(WORD, at)) for at in range(_SIDE)]
            quarters = [[code.load(builder.add(row, start), 0, kind) for start in starts] for row in carried[:_SIDE]]
            place = carried[_SIDE]
            for value in _operands(builder, quarters):
                code.store(value, place, 0)
                place = builder.add(place, step)
            carried[:_SIDE] = [code.forward(row, 4 * DEPTH) for row in carried[:_SIDE]]
            carried[_SIDE] = code.forward(carried[_SIDE], 4 * DEPTH * HIGH)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), emit


def _operands(builder: Any, quarters: list[list[Any]]) -> Any:
    """Those of the outer scheme, and of each those of the inner one."""
    inner = [
        seven_operands(builder, *(quarters[row + down][part + right] for down in (0, 2) for right in (0, 2)))
        for row in range(2)
        for part in range(2)
    ]
    for number in range(OPERANDS):
        yield from seven_operands(builder, *(values[number] for values in inner))


def _difference(_: Any, one: Any, other: Any, target: Any, vectors: Any) -> Any:
    """Numbers less others, so many vectors of them."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, kind = Emitter(builder), vector(LANES)
        with code.loop(arguments[-1], list(arguments[:-1])) as carried:
            code.store(builder.fsub(code.load(carried[0], 0, kind), code.load(carried[1], 0, kind)), carried[2], 0)
            carried[:] = [code.forward(place, 4 * LANES) for place in carried]
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), emit


multiply_first_quads, multiply_quads = (_multiply_quads(combining=combining) for combining in (True, False))
quad_rows: Any = intrinsic(_quad_rows)
difference: Any = intrinsic(_difference)


def _hidden(_: Any, number: Any) -> Any:
    """A number that LLVM does not know: it would make a function of its own for each."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return Emitter(builder).hidden(arguments[0])

    return types.int64(types.int64), emit


hidden: Any = intrinsic(_hidden)
