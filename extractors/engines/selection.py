"""Chooses and starts the engine that runs a network."""

from __future__ import annotations

import importlib.util

from extractors.engines.compiling import check_compile
from extractors.engines.network import Engine, Network
from extractors.engines.openvino_import import REMEDY
from storage.errors import InvalidInput

ENGINES = ("auto", "torch", "openvino")


def pick_engine(engine: str, *, device: str, precision: str = "float32", compiled: bool = False) -> str:
    """Turn ``auto``, ``torch`` or ``openvino`` into the engine to use.

    ``auto`` is OpenVINO for float32 on a CPU, where it is installed, else torch.

    Args:
        engine: one of :data:`ENGINES`.
        device: ``cpu`` or ``cuda:N``.
        precision: ``float32``, ``tf32``, ``bfloat16`` or ``float16``.
        compiled: whether the network is to run through ``torch.compile``.

    Raises:
        InvalidInput: If it is none of these, is not installed, or does not go with the other options; or if
            networks cannot be compiled here.
    """
    if engine not in ENGINES:
        raise InvalidInput(f"engine {engine!r}: expected one of {', '.join(ENGINES)}")
    installed = importlib.util.find_spec("openvino") is not None
    if engine == "auto":
        fits = device == "cpu" and precision == "float32" and not compiled
        engine = "openvino" if fits and installed else "torch"
    elif engine == "openvino":
        if device != "cpu":
            raise InvalidInput(f"engine 'openvino' runs on a CPU, not on {device}: use --device cpu or --engine torch")
        if precision != "float32":
            raise InvalidInput(f"engine 'openvino' computes in float32, not {precision}: use --engine torch")
        if compiled:
            raise InvalidInput("engine 'openvino' and --compile exclude each other: use --engine torch with --compile")
        if not installed:
            raise InvalidInput(f"engine 'openvino' is not installed: {REMEDY}")
    if compiled:
        check_compile(device)
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
