"""The innermost loops of :mod:`extractors.product_kernels`, written in LLVM's own language.

Numba's loops cannot hold a tile of sums in vector registers; that of :func:`_multiply` does.
A tile has a few rows and one or two vectors of columns. Rows come in groups of :data:`DEPTH` numbers, a group of each
row of the tile after the other; columns come as one or two vectors for each number of a row. Both are read from front
to back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from extractors.vector_code import FLOAT, LANES, WORD, Emitter, vector

DEPTH = 16
"""Numbers of a row that lie together, and that are multiplied before the loop turns."""

HEIGHTS = (4, 8, 14) if LANES == 16 else (2, 4, 6)
"""Rows of tiles: with the most, sums fill the registers but for a few."""


Across = Callable[[list[Any], int], Any]
"""Makes a vector of columns of what lies so many numbers after some addresses."""

_CACHE_LINE = 64
_LINES = 4
"""Of the result, that a group of a product asks for."""
AHEAD_BYTES = 3 * _CACHE_LINE if LANES == 16 else 2 * _CACHE_LINE
"""Of what will be read, that a group of a product asks for."""

binding.initialize_native_asmparser()


@dataclass(frozen=True)
class Soon:
    """Memory that is asked for a little at a time, while products run; many at once would keep their own loads waiting.

    Attributes:
        table: address of addresses of lines that will be written.
        offset: bytes from those to where it will be written.
        step: bytes in the table from those that one group of a product asks for to those of the next.
        ahead: address of what will be read.
    """

    table: Any = None
    offset: Any = None
    step: Any = None
    ahead: Any = None


class Tile(Emitter):
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
        self.fetch(lines)
        self.finish(self.product(rows, [columns], groups, self.zeros()), bias, lines, add, least)

    def zeros(self) -> list[Any]:
        """Sums to begin with."""
        return [self.constant(0.0)] * (self._rows * self._vectors)

    def product(
        self, rows: Any, panels: list[Any], groups: Any, sums: list[Any], *, across: Across | None = None,
        soon: Soon | None = None,
    ) -> list[Any]:  # fmt: skip
        """The sums, and rows times columns.

        Args:
            rows: address of the tile's rows.
            panels: addresses of what columns are made of.
            groups: how many, at least one.
            sums: to add to.
            across: how a vector of columns is made of the panels, which have moved on; without it, it is the first.
            soon: what will be needed after this.
        """
        soon, count = soon or Soon(), len(panels)
        walks = [address for address in (soon.table, soon.ahead) if address is not None]
        with self.loop(groups, [rows, *panels, *walks, *sums]) as carried:
            moved, walks = carried[1 : 1 + count], carried[1 + count : -len(sums)]
            some = self._group if across is None else self._step_by_step
            carried[-len(sums) :] = some(carried[0], moved, carried[-len(sums) :], across)
            carried[0] = self.forward(carried[0], DEPTH * self._rows * 4)
            carried[1 : 1 + count] = [self.forward(panel, DEPTH * self._vectors * LANES * 4) for panel in moved]
            if soon.table is not None:
                walks[0] = self._ask_for_lines(walks[0], soon)
            if soon.ahead is not None:
                walks[-1] = self._ask_for(walks[-1])
            carried[1 + count : -len(sums)] = walks
        return carried[-len(sums) :]

    def _step_by_step(self, row_at: Any, panels: list[Any], sums: list[Any], across_of: Across | None) -> list[Any]:
        """As :meth:`_group`, in a loop: at once, columns that are yet to be made take the registers of sums."""
        count = len(panels)
        with self.loop(self.opaque(DEPTH), [row_at, *panels, *sums]) as carried:
            moved = carried[1 : 1 + count]
            carried[-len(sums) :] = self._group(carried[0], moved, carried[-len(sums) :], across_of, deeps=1)
            carried[0] = self.forward(carried[0], 4)
            carried[1 : 1 + count] = [self.forward(panel, self._vectors * LANES * 4) for panel in moved]
        return carried[-len(sums) :]

    def _group(
        self, row_at: Any, panels: list[Any], sums: list[Any], across_of: Across | None, *, deeps: int = DEPTH
    ) -> list[Any]:
        """``DEPTH`` numbers of each row, or the first of them, times their columns, added to the sums."""
        sums = list(sums)
        for deep in range(deeps):
            numbers = [(deep * self._vectors + at) * LANES for at in range(self._vectors)]
            if across_of is None:
                across = [self.load(panels[0], number, self._kind) for number in numbers]
            else:
                across = [across_of(panels, number) for number in numbers]
            for row in range(self._rows):
                spread = self.spread(self.load(row_at, row * DEPTH + deep, FLOAT))
                for at in range(self._vectors):
                    place = row * self._vectors + at
                    sums[place] = self.times_plus(spread, across[at], sums[place])
        return sums

    def finish(self, sums: list[Any], bias: Any, lines: list[Any], add: Any, least: Any) -> None:
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

    def _ask_for_lines(self, table: Any, soon: Soon) -> Any:
        """Ask for some lines of the result. Returns where the next are in the table.

        In assembly, because LLVM moves no load past a prefetch that it knows of, and so runs out of registers.
        """
        asked = "".join(
            f"movq {8 * row}($0), $1\n"
            + "".join(f"prefetchw {byte}($1,$3)\n" for byte in range(0, self._vectors * LANES * 4, _CACHE_LINE))
            for row in range(_LINES)
        )
        kind = ir.FunctionType(ir.LiteralStructType([WORD, WORD]), [WORD, WORD, WORD])
        code = ir.InlineAsm(kind, f"{asked}addq $4, $0", "=&r,=&r,0,r,r,~{flags}", side_effect=False)
        return self.builder.extract_value(self.builder.call(code, [table, soon.offset, soon.step]), 0)

    def _ask_for(self, address: Any) -> Any:
        """Ask for some memory that is read in turn. Returns what comes after it."""
        asked = "".join(f"prefetcht1 {byte}($0)\n" for byte in range(0, AHEAD_BYTES, _CACHE_LINE))
        code = ir.InlineAsm(ir.FunctionType(WORD, [WORD]), f"{asked}addq $${AHEAD_BYTES}, $0", "=r,0,~{flags}")
        return self.builder.call(code, [address])

    def fetch(self, lines: list[Any]) -> None:
        """Ask for the part of the result that will be written: waiting for it afterwards costs a tenth."""
        for line in lines:
            for byte in range(0, self._vectors * LANES * 4, _CACHE_LINE):
                self.prefetch(self.forward(line, byte), to_write=True)


def _multiply(rows: int, vectors: int) -> Any:
    """A tile's loop, callable from compiled code.

    Its arguments: addresses of the tile's rows and columns; how many groups, at least one; addresses of the bias and of
    the result, and the result's bytes a row; whether to add to the result that is there; and the least value.
    """

    def typed(
        _: Any, rows_at: Any, columns_at: Any, groups: Any, bias: Any, out: Any, stride: Any, add: Any, least: Any
    ) -> Any:
        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            Tile(builder, rows=rows, vectors=vectors).emit(*arguments)
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
