"""The OpenVINO engine: float32 on a CPU, compiled for one batch shape.

One shape gives the same bits from run to run and wherever a unit stands in a batch. Smaller batches are filled up.
"""

from __future__ import annotations

import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from extractors.engines import openvino_cache
from extractors.engines.memory import give_back_freed_memory
from extractors.engines.network import Network
from extractors.engines.openvino_import import import_openvino, root_logger_as_it_was
from extractors.engines.torch_engine import prepared
from storage.errors import InvalidInput


class OpenVinoEngine:
    """Runs a compiled model on batches of any size.

    Args:
        model: of one input with a fixed shape ``[batch, ...]`` and outputs ``[batch, ...]``.
        name: of the backbone, for errors.
    """

    def __init__(self, model: Any, *, name: str) -> None:
        compiled = import_openvino().Core().compile_model(model, "CPU", settings())
        self._name = name
        self._shape = tuple(compiled.input(0).shape)
        self._tails = [tuple(output.shape)[1:] for output in compiled.outputs]
        self._request = compiled.create_infer_request()
        self._busy = threading.Lock()  # a request takes one batch at a time
        self._filled: NDArray[Any] | None = None

    def __call__(self, batch: Tensor) -> tuple[Tensor, ...]:
        """See :class:`extractors.engines.network.Engine`."""
        units = batch.cpu().contiguous().numpy()
        if units.shape[1:] != self._shape[1:]:
            raise ValueError(f"{self._name}: expected units {list(self._shape[1:])}, got {list(units.shape[1:])}")
        size = self._shape[0]
        with self._busy:
            parts = [self._run(units[at : at + size]) for at in range(0, len(units), size)]
        empty = [np.zeros((0, *tail), dtype=np.float32) for tail in self._tails]
        joined = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
        return tuple(torch.from_numpy(column) for column in joined)

    def _run(self, units: NDArray[Any]) -> list[NDArray[np.float32]]:
        count = len(units)
        if count < self._shape[0]:
            if self._filled is None:
                self._filled = np.zeros(self._shape, dtype=units.dtype)
            self._filled[:count] = units
            units = self._filled
        found = self._request.infer([units], share_inputs=True, share_outputs=True)
        return [np.array(found[index][:count], dtype=np.float32) for index in range(len(self._tails))]


def start_openvino(network: Network) -> OpenVinoEngine:
    """Convert a network once, keep the converted model beside its weights, and compile it.

    Raises:
        InvalidInput: If OpenVINO cannot be imported.
        WeightsError: If weights do not fit.
    """
    shape = [network.batch_units, *network.example.shape[1:]]
    if not network.identity:
        # Through a file all the same: its pages can be dropped, torch's memory would be held for good.
        with tempfile.TemporaryDirectory(prefix="avvp-openvino-") as folder:
            return OpenVinoEngine(_converted(network, shape, Path(folder, "model")), name=network.name)
    facts = [network.identity, shape, str(network.example.dtype), import_openvino().__version__]
    entry = openvino_cache.entry(network.name, facts)
    model = openvino_cache.read(entry)
    return OpenVinoEngine(_converted(network, shape, entry) if model is None else model, name=network.name)


def _converted(network: Network, shape: list[int], entry: Path) -> Any:
    """The model by way of a file. What is converted refers to torch's weights: they go before it is compiled."""
    model = openvino_cache.write(entry, convert(network, shape))
    give_back_freed_memory()
    return model


def convert(network: Network, shape: list[int]) -> Any:
    """A network as an ``openvino.Model`` for batches of one shape. It refers to the weights in torch's memory.

    Raises:
        InvalidInput: If it has a step that OpenVINO or torch's export does not know.
    """
    openvino = import_openvino()
    batch = network.example.expand(shape).contiguous()
    with warnings.catch_warnings(), root_logger_as_it_was(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of torch.export, about what it will do otherwise some day
        whole = prepared(network)
        try:
            model = openvino.convert_model(torch.export.export(whole, (batch,)))
        except (RuntimeError, openvino.frontend.OpConversionFailure) as problem:
            lines = str(problem).strip().splitlines() or [type(problem).__name__]
            reason = next((line.strip(" -") for line in lines if "No conversion rule" in line), lines[0])
            raise InvalidInput(
                f"{network.name}: OpenVINO cannot convert this network: {reason}. Use --engine torch"
            ) from problem
    model.reshape(shape)
    return model


def open_model(path: str | Path, *, name: str = "", batch_shape: list[int] | None = None) -> OpenVinoEngine:
    """Read and compile a model from a file, ``.onnx`` or OpenVINO's own ``.xml``.

    Args:
        path: of the file.
        name: for errors; the file's own if empty.
        batch_shape: of its input, where the file leaves it open.

    Raises:
        InvalidInput: If the file cannot be read as a model, or does not say the input's shape and none is given.
    """
    openvino = import_openvino()
    try:
        model = openvino.Core().read_model(str(path))
    except RuntimeError as problem:
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[-1]
        raise InvalidInput(f"{path}: not a model that OpenVINO can read: {reason}") from None
    if batch_shape is not None:
        model.reshape(batch_shape)
    if not model.input(0).partial_shape.is_static:
        raise InvalidInput(f"{path}: its input is {model.input(0).partial_shape}; give batch_shape")
    return OpenVinoEngine(model, name=name or Path(path).name)


def settings() -> dict[str, Any]:
    """True float32, one stream, as many threads as torch has."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "ENABLE_CPU_PINNING": False,  # decoders and other runs share the cores
    }
