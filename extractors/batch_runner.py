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
from extractors.engines.batches import BatchSize, checked, is_out_of_memory, joined, run_in_parts
from extractors.engines.batches import Outputs as Outputs
from extractors.engines.runtime import inference

if TYPE_CHECKING:
    import torch
    from torch import Tensor

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
    """A batch that was handed to the device; runs it again in smaller parts if memory did not suffice.

    Attributes:
        waits: for each part that was launched, what waits for it; empty if memory did not suffice for that.
        again: runs the batch in smaller parts.
        fitted: is told if that was not needed.
        units: those asked for.
    """

    waits: list[Callable[[], Outputs]]
    again: Callable[[], Outputs]
    fitted: Callable[[], None]
    units: int

    def result(self) -> Outputs:
        """See :class:`Pending`; without what filled the batch up."""
        return tuple(output[: self.units] for output in self._whole())

    def _whole(self) -> Outputs:
        try:
            if self.waits:
                outputs = joined([wait() for wait in self.waits])
                self.fitted()
                return outputs
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return self.again()


class BatchRunner:
    """Runs batches of one backbone on one device, all of one shape: what is short of a batch is filled up.

    Kernels choose their order of sums by the shape. With one shape, a unit's bits depend neither on its place in
    the batch nor on its neighbours, as far as the backbone keeps :func:`extractors.contract.check_contract` on this
    device. A batch that memory did not suffice for is run in parts, and its last bits may be others.

    Args:
        extractor: loaded.
        device: where its network is.
        batch_units: units a batch; handed to the device in parts once memory has run out time and again.
        lanes: how work is ordered; by default the device's own.
        compiled: run the backbone through ``torch.compile``; a minute or more at its first batch. Batches that memory
            did not suffice for are run as they are: other sizes would be compiled anew.
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
        compile_backend: str | Callable[..., Any] = "inductor",
    ) -> None:
        import torch

        self._name, self._precision = extractor.name, extractor.precision
        self._plain: Callable[[Tensor], tuple[Tensor, ...]] = extractor.forward
        self._forward = self._plain
        if compiled:
            self._forward = torch.compile(extractor.forward, backend=compile_backend, dynamic=False)
        self._device = torch.device(device)
        on_gpu = self._device.type == "cuda"
        self.size = BatchSize(batch_units or (extractor.gpu_batch if on_gpu else extractor.cpu_batch))
        self._full = self.size.units
        self._lanes: Lanes = lanes or (CudaLanes(self._device) if on_gpu else HostLanes())
        self.in_flight = BATCHES_IN_FLIGHT if self._lanes.pinned else 1
        self._buffers: list[NDArray[Any]] = []
        self._turn = 0

    @property
    def batch_units(self) -> int:
        """Units that fill a batch."""
        return self._full

    def buffer(self, unit_shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """The next buffer to fill, ``[batch_units, *unit_shape]``: in pinned memory, where a device copies from there.

        It may be filled while :attr:`in_flight` batches from buffers asked for before are under way.
        """
        if len(self._buffers) <= self.in_flight:
            self._buffers.append(self._host_memory((self._full, *unit_shape), np.dtype(dtype)))
            return self._buffers[-1]
        self._turn = (self._turn + 1) % len(self._buffers)
        return self._buffers[self._turn - 1]

    def submit(self, units: NDArray[Any]) -> Pending:
        """Hand some units to the device, from memory of any kind: they are copied.

        Args:
            units: ``[units, ...]``, at most a batch.

        Returns:
            As :meth:`submit_buffer`.
        """
        batch = np.empty((self._full, *units.shape[1:]), dtype=units.dtype)
        batch[: len(units)] = units
        return self.submit_buffer(batch, len(units))

    def submit_buffer(self, buffer: NDArray[Any], count: int) -> Pending:
        """Hand a batch to the device.

        Args:
            buffer: from :meth:`buffer`; must stay untouched until the result has been taken.
            count: units in it, from the first; it is filled up here.

        Returns:
            The batch on its way. At most :attr:`in_flight` may be, and results are taken in order.
        """
        buffer[count:] = buffer[count - 1]  # nothing that the backbone would not see anyway
        size = self.size.units
        again = partial(run_in_parts, self._plain, buffer, size=self.size, name=self._name, precision=self._precision)
        running = _Running([], again, partial(self.size.fitted, size), count)
        try:
            with inference(self._precision):
                running.waits = [self._launched(buffer[at : at + size]) for at in range(0, len(buffer), size)]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return running

    def _launched(self, units: NDArray[Any]) -> Callable[[], Outputs]:
        """Start the copy, the network and the copy back; what it gives waits for the last of them."""
        import torch

        batch = self._lanes.copy_in(torch.from_numpy(units), self._device)
        return self._lanes.copy_out(checked(self._forward(batch), len(units)))

    def _host_memory(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        import torch

        if self._lanes.pinned:
            with contextlib.suppress(RuntimeError):  # no CUDA: the loop is being tested on a CPU
                kind = torch.from_numpy(np.empty(0, dtype=dtype)).dtype
                pinned: NDArray[Any] = torch.empty(shape, dtype=kind, pin_memory=True).numpy()
                return pinned
        return np.empty(shape, dtype=dtype)
