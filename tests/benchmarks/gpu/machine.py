"""Stage 1: the machine, its rate of products, and how fast it copies."""

from __future__ import annotations

import os
import platform

import torch
from bench import Bench

from extractors.engines.runtime import inference


def run(bench: Bench) -> None:
    facts = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version(), "torch": torch.__version__}
    if bench.on_gpu:
        card = torch.cuda.get_device_properties(bench.device)
        facts |= {
            "gpu": card.name, "memory_bytes": card.total_memory, "capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "driver": driver(),
        }  # fmt: skip
    bench.facts["machine"] = facts
    bench.say(**facts)
    size = 256 if bench.small else 8192
    for precision in bench.precisions:
        dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision, torch.float32)
        a, b = (torch.rand(size, size, device=bench.device).to(dtype) for _ in range(2))
        with inference(precision):
            seconds = bench.seconds(lambda a=a, b=b: a @ b, repeats=2 if bench.small else 10)
        bench.facts["product"][precision] = 2 * size**3 / seconds / 1e12
        bench.say(product=precision, size=size, tflops=bench.facts["product"][precision])
    copies(bench)


def driver() -> str | None:
    """As the records of extractions have it; needs nothing but torch."""
    try:
        from pipeline.extraction.circumstances import driver_version
    except ImportError:
        return None
    return driver_version()


def copies(bench: Bench) -> None:
    """To the device and back, from pinned and from pageable memory."""
    count = (1 << 20) if bench.small else (1 << 28)
    for kind in ("pinned", "pageable") if bench.on_gpu else ("pageable",):
        host = torch.empty(count, dtype=torch.uint8, pin_memory=kind == "pinned")
        there = host.to(bench.device, copy=True)
        into = bench.seconds(lambda host=host, there=there: there.copy_(host, non_blocking=True), repeats=5)
        back = bench.seconds(lambda host=host, there=there: host.copy_(there, non_blocking=True), repeats=5)
        bench.say(copy=kind, bytes=count, to_device_gb_s=count / into / 1e9, from_device_gb_s=count / back / 1e9)
