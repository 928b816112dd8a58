"""Engines run a network on batches: torch on any device, OpenVINO on a CPU.

Features of both agree within 1e-5 of their largest value, so the engine is no part of an array's identity.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from storage.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor, nn

ENGINES = ("auto", "torch", "openvino")

REMEDY = 'pip install "avvp-pipeline[cpu]", or use --engine torch'


class Engine(Protocol):
    """A network that is ready to run."""

    def __call__(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Run the network.

        Args:
            batch: ``[units, ...]`` on any device.

        Returns:
            ``[units, ...]`` float32 for each output, on the engine's device.
        """
        ...


@dataclass(frozen=True)
class Network:
    """What an engine needs to know of a backbone.

    Attributes:
        name: of the backbone, for errors.
        build: makes the network on the CPU, in float32 and eval mode, with its weights loaded.
        compute: runs that network on a batch, in plain torch; normalisation and the like belong here.
        example: one unit, ``[1, ...]``; its shape and type matter, its values do not.
        batch_units: units in a usual batch.
        identity: tells this network and its weights from all others; empty if it shall not be cached.
    """

    name: str
    build: Callable[[], nn.Module]
    compute: Callable[[Any, Tensor], tuple[Tensor, ...]]
    example: Tensor
    batch_units: int
    identity: str = ""


def pick_engine(engine: str, *, device: str, precision: str = "float32", compiled: bool = False) -> str:
    """Turn ``auto``, ``torch`` or ``openvino`` into the engine to use.

    ``auto`` is OpenVINO for float32 on a CPU, where it is installed, else torch.

    Args:
        engine: one of :data:`ENGINES`.
        device: ``cpu`` or ``cuda:N``.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        compiled: whether the network is to run through ``torch.compile``.

    Raises:
        InvalidInput: If it is none of these, is not installed, or does not go with the other options.
    """
    if engine not in ENGINES:
        raise InvalidInput(f"engine {engine!r}: expected one of {', '.join(ENGINES)}")
    installed = importlib.util.find_spec("openvino") is not None
    if engine == "auto":
        fits = device == "cpu" and precision == "float32" and not compiled
        return "openvino" if fits and installed else "torch"
    if engine == "openvino":
        if device != "cpu":
            raise InvalidInput(f"engine 'openvino' runs on a CPU, not on {device}: use --device cpu or --engine torch")
        if precision != "float32":
            raise InvalidInput(f"engine 'openvino' computes in float32, not {precision}: use --engine torch")
        if compiled:
            raise InvalidInput("engine 'openvino' and --compile exclude each other: use --engine torch with --compile")
        if not installed:
            raise InvalidInput(f"engine 'openvino' is not installed: {REMEDY}")
    return engine


def start_engine(engine: str, network: Network, *, device: str, precision: str) -> Engine:
    """Build a network and make it ready to run.

    Args:
        engine: ``torch`` or ``openvino``, see :func:`pick_engine`.
        network: what to run.
        device: ``cpu`` or ``cuda:N``.
        precision: of the torch engine's products.

    Raises:
        InvalidInput: If the engine cannot be used.
        WeightsError: If weights do not fit.
    """
    if pick_engine(engine, device=device, precision=precision) == "openvino":
        from extractors.engines.openvino_engine import start_openvino

        return start_openvino(network)
    from extractors.engines.torch_engine import TorchEngine

    return TorchEngine(network, device=device, precision=precision)
