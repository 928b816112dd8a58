"""Batches that fit in memory: halved when it runs out, whole again when that has passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from extractors.engines.runtime import inference

if TYPE_CHECKING:
    from torch import Tensor

Outputs = tuple[NDArray[np.float32], ...]
Forward = Callable[["Tensor"], tuple["Tensor", ...]]

PATIENCE = 3
"""Batches in a row that memory does not suffice for before they stay smaller."""

_MEMORY_WORDS = (
    "out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory",
    "cublas_status_alloc_failed", "cudnn_status_alloc_failed", "unable to find a valid cudnn algorithm",
)  # fmt: skip
_AMBIGUOUS = "cudnn_status_not_supported"
"""Said of convolutions that cuDNN cannot do, and of those that it has no memory to do."""
_SHORT_SHARE = 0.05


class OutOfMemory(MemoryError):
    """Not even one unit of a backbone fits in memory."""


@dataclass
class BatchSize:
    """How many units go into a batch.

    A batch that does not fit is run in parts, and the next one is whole again: another process may have held the memory
    for a moment. After :data:`PATIENCE` of them in a row, batches stay as small as those parts.

    Attributes:
        units: the current size, at least 1.
    """

    units: int
    _in_a_row: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.units < 1:
            raise ValueError(f"a batch needs at least 1 unit, got {self.units}")

    def fitted(self, units: int) -> None:
        """Note that a batch of so many units has run."""
        if units >= self.units:
            self._in_a_row = 0

    def ran_out(self, fitting: int) -> None:
        """Note that memory did not suffice for a batch, but for parts of so many units."""
        self._in_a_row += 1
        if self._in_a_row >= PATIENCE and fitting < self.units:
            self.units, self._in_a_row = fitting, 0


def run_batched(
    forward: Forward,
    units: NDArray[Any],
    *,
    batch_units: int | BatchSize,
    name: str = "the network",
    precision: str = "float32",
) -> Outputs:
    """Run a network over units in batches; a batch that does not fit in memory is run in smaller parts.

    Args:
        forward: :meth:`Extractor.forward`.
        units: ``[units, ...]``.
        batch_units: units a batch; pass one :class:`BatchSize` to every call of a run so that it learns.
        name: the backbone, for the error.
        precision: that the network was loaded with.

    Returns:
        One float32 array ``[units, ...]`` for each output; ``()`` without units.

    Raises:
        OutOfMemory: If not even one unit fits.
    """
    size = batch_units if isinstance(batch_units, BatchSize) else BatchSize(batch_units)
    parts: list[Outputs] = []
    at = 0
    while at < len(units):
        batch = units[at : at + size.units]
        at += len(batch)
        outputs = _attempt(forward, batch, name=name, precision=precision)
        if outputs is None:
            outputs = run_in_parts(forward, batch, size=size, name=name, precision=precision)
        else:
            size.fitted(len(batch))
        parts.append(outputs)
    return joined(parts)


def run_in_parts(
    forward: Forward, batch: NDArray[Any], *, size: BatchSize, name: str, precision: str = "float32"
) -> Outputs:
    """Run a batch that did not fit in memory as a whole: in halves, or in as small parts as do fit.

    Args:
        forward: as for :func:`run_batched`.
        batch: ``[units, ...]``.
        size: of the parts that did not fit; told of those that do.
        name: the backbone, for the error.
        precision: as for :func:`run_batched`.

    Raises:
        OutOfMemory: If not even one unit fits.
    """
    step = max(min(len(batch), size.units) // 2, 1)
    parts: list[Outputs] = []
    at = 0
    while at < len(batch):
        part = batch[at : at + step]
        outputs = _attempt(forward, part, name=name, precision=precision)
        if outputs is None:
            step = len(part) // 2
            continue
        parts.append(outputs)
        at += len(part)
    size.ran_out(step)
    return joined(parts)


def joined(parts: list[Outputs]) -> Outputs:
    """Outputs of batches, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def checked(outputs: Any, units: int) -> tuple[Tensor, ...]:
    """What a backbone's forward gave, if it is one value a unit: numpy would spread a single one over all of them.

    Args:
        outputs: of :meth:`Extractor.forward`.
        units: that it was given.

    Raises:
        ValueError: If it is anything but tensors ``[units, ...]``; says what it is.
    """
    import torch

    if isinstance(outputs, (tuple, list)) and all(
        isinstance(output, torch.Tensor) and output.shape[:1] == (units,) for output in outputs
    ):
        return tuple(outputs)
    parts = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    got = ", ".join(f"{list(part.shape)}" if isinstance(part, torch.Tensor) else type(part).__name__ for part in parts)
    what = type(outputs).__name__ if parts is outputs else "no tuple but"
    raise ValueError(f"forward() gave {what} {got or 'without tensors'}, expected a tuple of tensors [{units}, ...]")


def _attempt(forward: Forward, batch: NDArray[Any], *, name: str, precision: str) -> Outputs | None:
    """Run a batch; ``None`` if it does not fit, so that the error, which holds on to memory, is gone by then."""
    import torch

    try:
        with inference(precision):
            outputs = checked(forward(torch.from_numpy(batch)), len(batch))
            return tuple(output.float().cpu().numpy() for output in outputs)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) == 1:
            raise OutOfMemory(f"{name}: not even one unit {list(batch.shape[1:])} fits in memory") from error
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that a device or the machine has no memory left."""
    import torch

    text = str(error).lower()
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in text for word in _MEMORY_WORDS):
        return True
    return _AMBIGUOUS in text and (_follows_one(error) or _memory_is_short())


def _follows_one(error: BaseException) -> bool:
    """Whether it came while another one that says so was dealt with."""
    before = error.__cause__ or error.__context__
    return before is not None and is_out_of_memory(before)


def _memory_is_short() -> bool:
    """Whether next to nothing of the current GPU's memory can be had: free, or held by torch and not in use."""
    import torch

    if not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return False
    free, total = torch.cuda.mem_get_info()
    return free + torch.cuda.memory_reserved() - torch.cuda.memory_allocated() < _SHORT_SHARE * total
