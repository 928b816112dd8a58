"""One network on both engines, beside OpenVINO alone. Prints one JSON line. Run by run.py in a process of its own.

"OpenVINO alone" is what its ``benchmark_app`` does: the same model compiled once with its own defaults for latency, one
request, the same batch again and again. All are timed in turn, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
import torch

from extractors import registry
from extractors.batch_runner import BatchRunner
from extractors.engines import openvino_engine
from extractors.engines.openvino_import import import_openvino


def with_model(name: str):
    """The backbone on OpenVINO, and the model that it was compiled from, compiled once more as OpenVINO would."""
    models = []
    plain = openvino_engine.convert

    def convert(network, shape):
        models.append(plain(network, shape))
        return models[-1]

    openvino_engine.convert = convert
    extractor = registry.load(name, weights="random:0", engine="openvino")
    openvino_engine.convert = plain
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": torch.get_num_threads()}  # fmt: skip
    return extractor, import_openvino().Core().compile_model(models[0], "CPU", settings).create_infer_request()


def main() -> None:
    request = json.loads(sys.argv[1])
    name = request["backbone"]
    ours, alone = with_model(name)
    on_torch = registry.load(name, weights="random:0", engine="torch")
    noise = torch.Generator().manual_seed(0)
    shape = (ours.cpu_batch, *ours.unit_shape)
    units = torch.randint(256, shape, generator=noise).to(getattr(torch, ours.unit_dtype)).numpy()
    runners = [BatchRunner(extractor, device="cpu") for extractor in (ours, on_torch)]
    ways = {
        "openvino": lambda: runners[0].submit(units).result()[0],
        "torch": lambda: runners[1].submit(units).result()[0],
        "alone": lambda: alone.infer([units])[0],
    }
    found = {way: run() for way, run in ways.items()}
    scale = float(np.abs(found["alone"]).max())
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(request.get("repeats", 9)):
        for way, run in ways.items():
            began = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - began)
    print(json.dumps({
        "units": len(units),
        **{way: statistics.median(times) for way, times in seconds.items()},
        "difference": float(np.abs(found["torch"] - found["openvino"]).max()) / scale,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
