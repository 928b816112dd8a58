"""The innermost loop of :mod:`extractors.attention_kernels`: the softmax of a row of scores, in vector registers."""

from __future__ import annotations

from math import factorial
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from extractors.product_microkernel import DEPTH
from extractors.vector_code import FLAG, FLOAT, Emitter, vector

_KIND = vector(DEPTH)
_LEAST = -87.0
"""Below, e to the power of it is no normal float32."""
_LOG2_E, _LN_2_HIGH, _LN_2_LOW = 1.4426950408889634, 0.693359375, -2.12194440e-4
_ROUNDER = 1.5 * 2.0**23
"""Added, it leaves a whole number in a float32's last bits."""
_TERMS = 7
"""Of e's series within half of ln 2: what is left out is less than float32's rounding."""


class _Softmax(Emitter):
    """One row, a group of scores at a time."""

    def largest(self, scores: Any, groups: Any) -> Any:
        """The greatest score."""
        with self.loop(groups, [scores, self.numbers(float("-inf"))]) as carried:
            carried[1] = self.bounded(carried[1], self.load(carried[0], 0, _KIND))
            carried[0] = self.forward(carried[0], 4 * DEPTH)
        return self.call(f"llvm.vector.reduce.fmax.v{DEPTH}f32", FLOAT, carried[1])

    def exponentials(self, scores: Any, most: Any, scale: Any, target: Any, step: Any, groups: Any) -> Any:
        """Write e to the scaled distance from the greatest score. Returns their sum."""
        most, scale = self.spread(most, DEPTH), self.spread(scale, DEPTH)
        with self.loop(groups, [scores, target, self.numbers(0.0)]) as carried:
            distance = self.builder.fsub(self.load(carried[0], 0, _KIND), most)
            power = self.exponential(self.builder.fmul(distance, scale))
            self.store(power, carried[1], 0)
            carried[0] = self.forward(carried[0], 4 * DEPTH)
            carried[1] = self.builder.add(carried[1], step)
            carried[2] = self.builder.fadd(carried[2], power)
        return self.total(carried[2])

    def total(self, value: Any) -> Any:
        """The sum of all lanes, half by half."""
        half = DEPTH
        while half > 1:
            half //= 2
            lower, upper = (
                self.builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(FLAG, half), list(lanes)))
                for lanes in (range(half), range(half, 2 * half))
            )
            value = self.builder.fadd(lower, upper)
        return self.builder.extract_element(value, ir.Constant(FLAG, 0))

    def exponential(self, x: Any) -> Any:
        """The power of e to ``x``, which is no more than 0; NaN stays NaN."""
        builder = self.builder
        x = self.bounded(x, self.numbers(_LEAST))
        rounded = self.times_plus(x, self.numbers(_LOG2_E), self.numbers(_ROUNDER))
        whole = builder.fsub(rounded, self.numbers(_ROUNDER))
        rest = self.times_plus(whole, self.numbers(-_LN_2_HIGH), x)
        rest = self.times_plus(whole, self.numbers(-_LN_2_LOW), rest)
        series = self.numbers(1 / factorial(_TERMS))
        for term in range(_TERMS - 1, -1, -1):
            series = self.times_plus(series, rest, self.numbers(1 / factorial(term)))
        integers = ir.VectorType(FLAG, DEPTH)
        bits = builder.shl(builder.bitcast(rounded, integers), ir.Constant(integers, [23] * DEPTH))
        power_of_two = builder.add(bits, ir.Constant(integers, [127 << 23] * DEPTH))
        return builder.fmul(series, builder.bitcast(power_of_two, _KIND))

    def numbers(self, value: float) -> Any:
        """A constant in every lane of a group."""
        return self.constant(value, DEPTH)


def _softmax_row(_: Any, scores: Any, groups: Any, scale: Any, target: Any, step: Any) -> Any:
    """A row's softmax, not yet divided by its sum, which is returned.

    Arguments: address of the scores, how many groups of :data:`DEPTH`, what they are multiplied by, address of the
    first group of the result, and bytes between its groups.
    """

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, (source, times, factor, onto, apart) = _Softmax(builder), arguments
        most = code.largest(source, times)
        return code.exponentials(source, most, factor, onto, apart, times)

    return types.float32(types.int64, types.int64, types.float32, types.int64, types.int64), lower


softmax_row: Any = intrinsic(_softmax_row)
