"""Matrix products on a CPU with weights laid out once; bias, sum and ReLU are done while results are in registers.

Torch's products are as quick where they are large and the CPU is Intel's. On others its library holds back, and small
products, of which Winograd's convolutions have 36 at a time, lose time to one another everywhere.

Large products of rows that belong together, as the places of a picture do, run by Strassen's scheme
(:mod:`extractors.strassen_kernels`), one level of it: each row is multiplied along with one from the other half of its
picture. A row's bits depend neither on other pictures nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import linear, silu

from extractors.network_parts import parts_of
from extractors.scratch_memory import scratch_memory

if TYPE_CHECKING:
    from torch import Tensor

_AFTER: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu_,
    "silu": lambda x: silu(x, inplace=True),
}
_LEAST_INPUTS = 64
LEAST_ROWS = 64
"""With fewer, laying out rows and calling compiled code take as long as the products."""


def suits(*, inputs: int, outputs: int, rows: int) -> bool:
    """Whether a product can run this way here, and at least as fast as torch's.

    Args:
        inputs: numbers of a row.
        outputs: columns of the result.
        rows: in the batches to come.
    """
    from extractors import openmp

    return (
        _whole(inputs=inputs, outputs=outputs)
        and inputs >= _LEAST_INPUTS
        and rows >= LEAST_ROWS
        and openmp.library() is not None
    )


def _whole(*, inputs: int, outputs: int) -> bool:
    """Whether rows and columns fill vectors, of which the kernels know no parts."""
    from extractors.product_microkernel import DEPTH
    from extractors.vector_code import LANES

    return LANES > 0 and inputs % DEPTH == 0 and outputs % LANES == 0


class PackedMatrix:
    """Weights of one or more products, laid out for :mod:`extractors.product_kernels`.

    Args:
        weight: ``[outputs, inputs]``, or ``[products, outputs, inputs]``; of sizes that :func:`suits`, on the CPU.

    Raises:
        TypeError: If they are elsewhere.
        ValueError: If numbers of inputs or outputs are such that the kernels would write past the result's end.
    """

    def __init__(self, weight: Tensor) -> None:
        from extractors import openmp

        weights = weight.detach().float().reshape(-1, *weight.shape[-2:])
        self.products, self.outputs, self.inputs = weights.shape
        if not _whole(inputs=self.inputs, outputs=self.outputs):
            raise ValueError(f"weight: {list(weight.shape)}, expected sizes for whole vectors, see suits()")
        self.columns = _as_columns(weights)
        """For each product, panels of columns side by side: for each input, two vectors; the last may have one."""
        openmp.address_of(self.columns)  # raises

    def times(
        self,
        x: Tensor,
        *,
        unit: int = 1,
        bias: Tensor | None = None,
        onto: Tensor | None = None,
        into: Tensor | None = None,
        relu: bool = False,
    ) -> Tensor:
        """``x @ weight.T``.

        Args:
            x: ``[..., inputs]``, float32 on the CPU; ``[rows, products, inputs]`` where there are several products.
            unit: rows in turn that belong together, as those of a picture: what is not finite may spread over them.
            bias: ``[outputs]``, added.
            onto: ``[..., outputs]``, contiguous, apart from ``x``; the result is added to it in place.
            into: as ``onto``; the result takes the place of what is there.
            relu: whether negative sums become 0.

        Returns:
            ``[..., outputs]``; ``onto`` or ``into`` itself if one was given.

        Raises:
            TypeError: If a tensor is not float32 on the CPU, or ``onto``, ``into`` or ``bias`` are not contiguous.
            ValueError: If sizes do not fit, ``onto`` or ``into`` are not apart from ``x``, or both are given.
        """
        from extractors import openmp

        x = x.contiguous()
        if onto is not None and into is not None:
            raise ValueError("onto and into: expected one of them, got both")
        there = onto if into is None else into
        out = x.new_empty(*x.shape[:-1], self.outputs) if there is None else there
        self._check(x, out, bias)
        if there is not None and _share_memory(x, there):
            raise ValueError("onto shares memory with x, which is still read while it is written; give a copy")
        if not x.numel():
            return out
        rows = x.numel() // (self.inputs * self.products)
        part, last, scratch = self._way(rows, unit)
        openmp.run(
            part,
            openmp.address_of(x),
            self.columns.data_ptr(),
            openmp.address_of(bias),
            openmp.address_of(out),
            scratch.data_ptr(),
            self.products,
            rows,
            self.inputs,
            self.outputs,
            onto is not None,
            relu,
            *last,
        )
        return out

    def _way(self, rows: int, unit: int) -> tuple[Callable[[Any], None], list[int], Tensor]:
        """Which kernel, what it is given besides, and its memory. The number of units must make no difference."""
        from extractors import product_kernels, strassen_kernels

        if rows % unit:
            raise ValueError(f"x: {rows} rows, expected whole units of {unit}")
        threads = torch.get_num_threads()
        if strassen_kernels.suits(unit=unit, inputs=self.inputs, outputs=self.outputs):
            memory = scratch_memory("product", threads * strassen_kernels.scratch_bytes(self.outputs))
            return strassen_kernels.multiply_pairs_part, [unit], memory
        return product_kernels.multiply_part, [], scratch_memory("product", threads * product_kernels.SCRATCH_BYTES)

    def _check(self, x: Tensor, out: Tensor, bias: Tensor | None) -> None:
        """Compiled code is given bare addresses: whatever does not fit must end here."""
        if x.shape[-1] != self.inputs or (self.products > 1 and (x.ndim != 3 or x.shape[1] != self.products)):
            raise ValueError(f"x: {list(x.shape)}, expected [..., {self.inputs}] for {self.products} products")
        if out.shape != (*x.shape[:-1], self.outputs) or (bias is not None and bias.shape != (self.outputs,)):
            given = None if bias is None else list(bias.shape)
            raise ValueError(f"onto {list(out.shape)}, bias {given}: expected {self.outputs} columns, as x has rows")


class PackedLinear(nn.Module):
    """A linear layer, packed.

    Args:
        weight: ``[outputs, inputs]``.
        bias: ``[outputs]``.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._matrix = PackedMatrix(weight)
        self._bias = None if bias is None else bias.detach().float().contiguous()

    def forward(self, x: Tensor, *, onto: Tensor | None = None, then: str = "none") -> Tensor:
        """``x @ weight.T + bias``, added in place to ``onto`` if given.

        Args:
            x: ``[rows, inputs]``, or ``[batch, ..., inputs]``, where rows of the same picture or clip belong together.
            onto: as the result.
            then: ``none``, ``relu`` or ``silu``.
        """
        out = self._matrix.times(x, unit=prod(x.shape[1:-1]), bias=self._bias, onto=onto, relu=then == "relu")
        return out if then == "relu" else _AFTER[then](out)


class PlainLinear(nn.Module):
    """The same by torch."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()

    def forward(self, x: Tensor, *, onto: Tensor | None = None, then: str = "none") -> Tensor:
        """As :meth:`PackedLinear.forward`."""
        out = linear(x, self._weight, self._bias)
        return _AFTER[then](out if onto is None else onto.add_(out))


def quick_linear(weight: Tensor, bias: Tensor | None, *, rows: int) -> PackedLinear | PlainLinear:
    """The quickest form of a linear layer.

    Args:
        weight: ``[outputs, inputs]``.
        bias: ``[outputs]``.
        rows: in the batches to come.
    """
    outputs, inputs = weight.shape
    return (PackedLinear if suits(inputs=inputs, outputs=outputs, rows=rows) else PlainLinear)(weight, bias)


def pack_linears(network: nn.Module, *, rows: int) -> int:
    """Replace every linear layer of a network that is quicker packed, in place.

    Args:
        network: in eval mode, on the CPU, float32.
        rows: in the batches to come, of the layer that sees the fewest.

    Returns:
        How many were replaced.
    """
    quicker = [
        part
        for part in parts_of(network, nn.Linear)
        if type(part[2]) is nn.Linear and suits(inputs=part[2].in_features, outputs=part[2].out_features, rows=rows)
    ]
    for parent, name, layer in quicker:
        setattr(parent, name, PackedLinear(layer.weight, layer.bias))
    return len(quicker)


def _share_memory(one: Tensor, other: Tensor) -> bool:
    """Whether two contiguous tensors do."""
    first, second = one.data_ptr(), other.data_ptr()
    return first < second + other.nbytes and second < first + one.nbytes


def _as_columns(weights: Tensor) -> Tensor:
    """``[products, outputs, inputs]`` as :class:`PackedMatrix` holds them."""
    from extractors.vector_code import LANES

    products, outputs, inputs = weights.shape
    whole = outputs // (2 * LANES) * 2 * LANES
    panels = weights[:, :whole].reshape(products, -1, 2 * LANES, inputs).transpose(2, 3).flatten(1)
    return torch.cat([panels, weights[:, whole:].transpose(1, 2).flatten(1)], dim=1)
