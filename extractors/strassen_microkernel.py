"""The innermost loops of :mod:`extractors.strassen_kernels`: seven products of quarters where eight would do.

Strassen's scheme in Winograd's form. Rows come in pairs, an upper and a lower one, each in two halves: quarters A11,
A12 of the upper, A21, A22 of the lower. Columns come as two panels, left and right, each in two halves: B11, B21, B12,
B22. Sums stay in vector registers from one product to the next, so that the scheme's own sums cost next to nothing::

    C11 = A11 B11 + A12 B21
    U2 = A11 B11 + S2 T2        U3 = U2 + S3 T3        V = S1 T1
    C21 = U3 + A22 T4           C22 = U3 + V           C12 = U2 + V + S4 B22

    S1 = A21 + A22   S2 = S1 - A11   S3 = A11 - A21   S4 = A12 - S2
    T1 = B12 - B11   T2 = B22 - T1   T3 = B22 - B12   T4 = B21 - T2

S1 T1 comes first of the products with T: each T is then the difference of two that are there.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from extractors.product_microkernel import AHEAD_BYTES, DEPTH, HEIGHTS, Soon, Tile
from extractors.vector_code import LANES, WORD, Emitter, vector

HIGH = HEIGHTS[-1]
"""Pairs of a tile."""
OPERANDS = 7
"""Of rows, as :data:`pair_rows` leaves them: A11, A12, S2, S3, A22, S1, S4."""
COMBINED = 4
"""Of columns: T2, T3, T4, T1. The first tile makes them, and those after it read them."""
KEPT_BYTES = HIGH * 2 * LANES * 4
"""Of a tile of sums that waits for its turn; there are :data:`KEPT`."""
KEPT = 3


class _PairTile(Tile):
    """Tiles of four quarters of a result.

    Args:
        builder: of the function to put it in.
        combining: whether the panels' combinations are yet to be made, while they are multiplied for the first time.
    """

    def __init__(self, builder: Any, *, combining: bool) -> None:
        super().__init__(builder, rows=HIGH, vectors=2)
        self._combining = combining

    def emit(  # type: ignore[override]
        self, rows: Any, apart: Any, left: Any, right: Any, combined: Any, half: Any, groups: Any, kept: Any,
        lines: Any, step: Any, ahead: Any, bias_left: Any, bias_right: Any, across: Any, beyond: Any, add: Any,
        least: Any,
    ) -> None:  # fmt: skip
        """See :func:`_multiply_pairs`."""
        builder = self.builder
        a11, a12, s2, s3, a22, s1, s4 = self._in_turn(rows, apart, OPERANDS)
        t2, t3, t4, t1 = self._in_turn(combined, half, COMBINED)
        (b11, b21), (b12, b22) = self._in_turn(left, half, 2), self._in_turn(right, half, 2)
        first, second, third = (self.forward(kept, KEPT_BYTES * at) for at in range(KEPT))
        upper, lower = lines, self.forward(lines, 8 * HIGH)

        parts = iter(self._in_turn(ahead, builder.mul(groups, ir.Constant(WORD, AHEAD_BYTES)), OPERANDS))

        def times(
            rows: Any, panel: Any, sums: list[Any], *, of: tuple[Any, Any] | None = None,
            to: tuple[Any, Any] = (None, None),
        ) -> list[Any]:  # fmt: skip
            """Seven times in all: ``to`` where the next result goes, with a panel that is the difference ``of`` two."""
            if of is None or not self._combining:
                return self.product(rows, [panel], groups, sums, soon=Soon(*to, step, next(parts)))
            return self.product(rows, [panel, *of], groups, sums, soon=Soon(*to, step), across=self._made)

        sums = times(a11, b11, self.zeros(), to=(upper, across))
        self._keep(sums, first)
        self._end(times(a12, b21, sums), bias_left, upper, across, add, least)
        sums = times(s1, t1, self.zeros(), of=(b12, b11))
        self._keep(sums, third)
        sums = times(s2, t2, self._kept(first), of=(b22, t1), to=(lower, across))
        self._keep(sums, first)
        sums = times(s3, t3, sums, of=(b22, b12), to=(lower, beyond))
        self._keep(sums, second)
        sums = times(a22, t4, sums, of=(b21, t2), to=(upper, beyond))
        self._end(sums, bias_left, lower, across, add, least)
        sums = self._plus(self._kept(third), second)
        self._end(sums, bias_right, lower, beyond, add, least)
        sums = self._plus(self._kept(third), first)
        self._end(times(s4, b22, sums), bias_right, upper, beyond, add, least)

    def _in_turn(self, address: Any, apart: Any, count: int) -> list[Any]:
        return [self.builder.add(address, self.builder.mul(apart, ir.Constant(WORD, at))) for at in range(count)]

    def _made(self, panels: list[Any], number: int) -> Any:
        """A vector of columns, the difference of two, kept for the next tiles."""
        value = self.builder.fsub(*(self.load(panel, number, vector(LANES)) for panel in panels[1:]))
        self.store(value, panels[0], number)
        return value

    def _end(self, sums: list[Any], bias: Any, table: Any, offset: Any, add: Any, least: Any) -> None:
        """As ``finish``, for lines of a table."""
        lines = [self.builder.add(self.address(table, row), offset) for row in range(HIGH)]
        self.finish(sums, bias, lines, add, least)

    def _keep(self, sums: list[Any], place: Any) -> None:
        for at, value in enumerate(sums):
            self.store(value, place, at * LANES)

    def _kept(self, place: Any) -> list[Any]:
        return [self.load(place, at * LANES, vector(LANES)) for at in range(2 * HIGH)]

    def _plus(self, sums: list[Any], place: Any) -> list[Any]:
        return [self.builder.fadd(one, other) for one, other in zip(sums, self._kept(place), strict=True)]


def _multiply_pairs(*, combining: bool) -> Any:
    """A tile of pairs, callable from compiled code.

    Its arguments: address of the first operand of its rows, and bytes from it to the next; addresses of the panels and
    of memory for their combinations, and bytes of half a panel; groups of a half; memory for sums that wait; a table of
    the result's upper and then lower lines, and how it is walked, see :class:`Soon`; what the next tiles will read;
    the biases of both panels, and where in a line they begin, in bytes; whether to add to the result that is there; and
    the least value.
    """

    def typed(
        _: Any, rows: Any, apart: Any, left: Any, right: Any, combined: Any, half: Any, groups: Any, kept: Any,
        lines: Any, step: Any, ahead: Any, bias_left: Any, bias_right: Any, across: Any, beyond: Any, add: Any,
        least: Any,
    ) -> Any:  # fmt: skip
        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _PairTile(builder, combining=combining).emit(*arguments)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 16, types.float32), lower

    return intrinsic(typed)


def _pair_rows(_: Any, upper: Any, lower: Any, half: Any, ahead: Any, target: Any, apart: Any, groups: Any) -> Any:
    """A pair of rows as the seven operands, where its groups belong.

    Addresses of both, bytes of half of one, address of the first group, bytes between operands, groups of a half.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, kind = Emitter(builder), vector(DEPTH)
        over, under, middle, later, onto, step, times = arguments
        with code.loop(times, [over, under, onto]) as carried:
            a11, a21 = (code.load(place, 0, kind) for place in carried[:2])
            a12, a22 = (code.load(builder.add(place, middle), 0, kind) for place in carried[:2])
            for place in carried[:2]:
                soon = builder.add(place, later)
                code.prefetch(soon)
                code.prefetch(builder.add(soon, middle))
            s1 = builder.fadd(a21, a22)
            s2 = builder.fsub(s1, a11)
            place = carried[2]
            for value in (a11, a12, s2, builder.fsub(a11, a21), a22, s1, builder.fsub(a12, s2)):
                code.store(value, place, 0)
                place = builder.add(place, step)
            carried[0], carried[1] = (code.forward(place, 4 * DEPTH) for place in carried[:2])
            carried[2] = code.forward(carried[2], 4 * DEPTH * HIGH)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), emit


multiply_first_pairs, multiply_pairs = (_multiply_pairs(combining=combining) for combining in (True, False))
pair_rows: Any = intrinsic(_pair_rows)
