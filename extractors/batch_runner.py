"""Runs a backbone's batches and overlaps copies with computation.

While one batch computes, the next is copied to the device on a side stream, and the results of the one before are
copied back on another.

The same loop runs on a CPU, where streams do nothing and each batch is finished when it is submitted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from extractors.base import Extractor
from extractors.engines.runtime import BatchSize, inference, is_out_of_memory, run_batched

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Outputs = tuple[NDArray[np.float32], ...]

BATCHES_IN_FLIGHT = 2
"""On a GPU: one computes, one is copied in or out."""


class Pending(Protocol):
    """A batch on its way."""

    def result(self) -> Outputs:
        """Wait for the outputs, ``[units, ...]`` float32 each."""
        ...


class Lanes(Protocol):
    """How work is ordered on a device: one lane in, one to compute, one out."""

    pinned: bool

    def copy_in(self, host: Tensor, device: torch.device) -> Tensor:
        """Start copying to the device; the compute lane waits for it."""
        ...

    def copy_out(self, outputs: tuple[Tensor, ...]) -> Callable[[], Outputs]:
        """Start copying back once the outputs are there; the answer waits and gives them."""
        ...


class HostLanes:
    """A CPU's: everything is done at once, in order."""

    pinned = False

    def copy_in(self, host: Tensor, device: torch.device) -> Tensor:
        """See :class:`Lanes`."""
        return host.to(device)

    def copy_out(self, outputs: tuple[Tensor, ...]) -> Callable[[], Outputs]:
        """See :class:`Lanes`."""
        arrays = tuple(output.float().cpu().numpy() for output in outputs)
        return lambda: arrays


class CudaLanes:
    """A GPU's: two side streams beside the current one.

    Args:
        device: a CUDA device.
    """

    pinned = True

    def __init__(self, device: torch.device) -> None:
        import torch

        self._device = device
        self._in = torch.cuda.Stream(device)
        self._out = torch.cuda.Stream(device)

    def copy_in(self, host: Tensor, device: torch.device) -> Tensor:
        """See :class:`Lanes`; ``host`` must be pinned and stay untouched until the batch is done."""
        import torch

        with torch.cuda.stream(self._in):
            batch = host.to(device, non_blocking=True)
        compute = torch.cuda.current_stream(device)
        compute.wait_stream(self._in)
        batch.record_stream(compute)
        return batch

    def copy_out(self, outputs: tuple[Tensor, ...]) -> Callable[[], Outputs]:
        """See :class:`Lanes`."""
        import torch

        self._out.wait_stream(torch.cuda.current_stream(self._device))
        hosts = []
        with torch.cuda.stream(self._out):
            for output in outputs:
                host = torch.empty(output.shape, dtype=torch.float32, pin_memory=True)
                host.copy_(output, non_blocking=True)
                output.record_stream(self._out)
                hosts.append(host)
            finished = torch.cuda.Event()
            finished.record(self._out)

        def wait() -> Outputs:
            finished.synchronize()
            return tuple(host.numpy() for host in hosts)

        return wait


@dataclass
class _Running:
    """A batch that was handed to the device; runs it again in smaller parts if memory did not suffice."""

    wait: Callable[[], Outputs]
    again: Callable[[], Outputs]
    units: int

    def result(self) -> Outputs:
        """See :class:`Pending`; without what filled the batch up."""
        return tuple(output[: self.units] for output in self._whole())

    def _whole(self) -> Outputs:
        try:
            return self.wait()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return self.again()


class BatchRunner:
    """Runs batches of one backbone on one device, all of one shape: what is short of a batch is filled up.

    Kernels choose their order of sums by the shape. With one shape, a unit's bits depend neither on its place in
    the batch nor on its neighbours, as far as the backbone keeps :func:`extractors.contract.check_contract` on this
    device. Once memory has run out batches are smaller, and the last bits may be others.

    Args:
        extractor: loaded.
        device: where its network is.
        batch_units: units a batch; becomes smaller, for the rest of the run, when memory runs out.
        lanes: how work is ordered; by default the device's own.
        compiled: run the backbone through ``torch.compile``; a minute or more at its first batch.
        compile_backend: of ``torch.compile``.
    """

    def __init__(
        self,
        extractor: Extractor,
        *,
        device: str,
        batch_units: int | None = None,
        lanes: Lanes | None = None,
        compiled: bool = False,
        compile_backend: str = "inductor",
    ) -> None:
        import torch

        self._name = extractor.name
        self._forward: Callable[[Tensor], tuple[Tensor, ...]] = extractor.forward
        if compiled:
            self._forward = torch.compile(extractor.forward, backend=compile_backend)
        self._device = torch.device(device)
        on_gpu = self._device.type == "cuda"
        self.size = BatchSize(batch_units or (extractor.gpu_batch if on_gpu else extractor.cpu_batch))
        self._full = self.size.units
        self._lanes: Lanes = lanes or (CudaLanes(self._device) if on_gpu else HostLanes())
        self.in_flight = BATCHES_IN_FLIGHT if self._lanes.pinned else 1
        self._hosts: list[Tensor | None] = [None] * (self.in_flight + 1)
        self._turn = 0

    @property
    def batch_units(self) -> int:
        """Units that fill a batch."""
        return self._full

    def submit(self, units: NDArray[Any]) -> Pending:
        """Hand a batch to the device.

        Args:
            units: ``[units, ...]``, at most a batch; must stay untouched until the result has been taken.

        Returns:
            The batch on its way. At most :attr:`in_flight` may be, and results are taken in order.
        """
        import torch

        count = len(units)
        if count < self._full:
            # The last unit again: nothing that the backbone would not see anyway.
            units = np.concatenate([units, units[-1:].repeat(self._full - count, axis=0)])
        again = partial(run_batched, self._forward, units, batch_units=self.size, name=self._name)
        if len(units) > self.size.units:
            return _Running(again, again, count)
        try:
            host = self._staged(torch.from_numpy(units))
            with inference():
                batch = self._lanes.copy_in(host, self._device)
                return _Running(self._lanes.copy_out(self._forward(batch)), again, count)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return _Running(again, again, count)

    def _staged(self, units: Tensor) -> Tensor:
        """The batch in pinned memory, where the device copies from pinned memory only."""
        if not self._lanes.pinned:
            return units
        self._turn = (self._turn + 1) % len(self._hosts)
        host = self._hosts[self._turn]
        if host is None or len(host) < len(units):
            host = self._hosts[self._turn] = self._pinned_like(units)
        host = host[: len(units)]
        host.copy_(units)
        return host

    def _pinned_like(self, units: Tensor) -> Tensor:
        import torch

        shape = (max(len(units), self._full), *units.shape[1:])
        with contextlib.suppress(RuntimeError):  # no CUDA: the loop is being tested on a CPU
            return torch.empty(shape, dtype=units.dtype, pin_memory=True)
        return torch.empty(shape, dtype=units.dtype)
