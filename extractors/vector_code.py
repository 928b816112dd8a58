"""Writing loops over vectors in LLVM's own language, for what numba's loops are too slow at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import binding, ir

WORD, FLOAT, FLAG = ir.IntType(64), ir.FloatType(), ir.IntType(32)


def _lanes() -> int:
    """Numbers in a vector of this CPU."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx2") and features.get("fma") else 0


LANES = _lanes()
"""0: this CPU has no vectors that are used here, and nothing of this is ever compiled."""


def vector(lanes: int) -> Any:
    """The type of so many numbers together."""
    return ir.VectorType(FLOAT, lanes)


class Emitter:
    """Writes instructions that take addresses.

    Args:
        builder: of the function to put them in.
    """

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self._align_stack()

    def load(self, address: Any, number: int, kind: Any) -> Any:
        """What lies ``number`` floats after an address."""
        return self.builder.load(self._place(address, number, kind), align=4)

    def store(self, value: Any, address: Any, number: int) -> None:
        """Put a value ``number`` floats after an address."""
        self.builder.store(value, self._place(address, number, value.type), align=4)

    def prefetch(self, address: Any, *, to_write: bool = False) -> None:
        """Ask for what will be read, or written, soon."""
        place = self.builder.inttoptr(address, ir.PointerType(ir.IntType(8)))
        how = [ir.Constant(FLAG, value) for value in (int(to_write), 3, 1)]
        self.call("llvm.prefetch.p0", ir.VoidType(), place, *how)

    def address(self, table: Any, number: int) -> Any:
        """An address out of a table of them."""
        return self.builder.load(self.builder.inttoptr(self.forward(table, 8 * number), ir.PointerType(WORD)), align=8)

    def forward(self, address: Any, nbytes: int) -> Any:
        """An address, moved."""
        return self.builder.add(address, ir.Constant(WORD, nbytes))

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
        left = builder.sub(phis[0], ir.Constant(WORD, 1))
        for phi, start, later in zip(phis, first, [left, *changed], strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(later, builder.block)
        builder.cbranch(builder.icmp_signed(">", left, ir.Constant(WORD, 0)), body, after)
        builder.position_at_end(after)

    def spread(self, number: Any, lanes: int = LANES) -> Any:
        """A number in every lane."""
        nothing = ir.Constant(vector(lanes), ir.Undefined)
        alone = self.builder.insert_element(nothing, number, ir.Constant(FLAG, 0))
        everywhere = ir.Constant(ir.VectorType(FLAG, lanes), [0] * lanes)
        return self.builder.shuffle_vector(alone, nothing, everywhere)

    def constant(self, number: float, lanes: int = LANES) -> Any:
        """A number that is known, in every lane."""
        return ir.Constant(vector(lanes), [number] * lanes)

    def times_plus(self, one: Any, other: Any, more: Any) -> Any:
        """The product of two vectors and a third, rounded once."""
        return self.call(f"llvm.fma.v{one.type.count}f32", one.type, one, other, more)

    def bounded(self, value: Any, floor: Any) -> Any:
        """The greater of both; NaN stays NaN."""
        return self.builder.select(self.builder.fcmp_ordered("<", value, floor), floor, value)

    def memory(self, vectors: int) -> Any:
        """The address of memory of the function's own."""
        with self.builder.goto_entry_block():
            place = self.builder.alloca(ir.ArrayType(vector(LANES), vectors))
        place.align = 64
        return self.builder.ptrtoint(place, WORD)

    def opaque(self, number: int) -> Any:
        """A number that LLVM does not know, and so does not unroll a loop for."""
        kind = ir.FunctionType(WORD, [WORD])
        return self.builder.call(ir.InlineAsm(kind, "", "=r,0"), [ir.Constant(WORD, number)])

    def _align_stack(self) -> None:
        """Let vectors that find no register lie in one cache line each: LLVM does not by itself see to it."""
        kind = ir.FunctionType(ir.VoidType(), [WORD])
        self.builder.call(ir.InlineAsm(kind, "", "r", side_effect=True), [self.memory(1)])

    def _place(self, address: Any, number: int, kind: Any) -> Any:
        return self.builder.inttoptr(self.forward(address, 4 * number), ir.PointerType(kind))
