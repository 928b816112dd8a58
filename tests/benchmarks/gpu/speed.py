"""Stage 3: units a second of each network on batches that are on the device already, and the share of its products."""

from __future__ import annotations

import torch
from bench import Bench, units_a_clip, units_of
from torch.utils.flop_counter import FlopCounterMode

from extractors.base import Extractor
from extractors.engines.batches import is_out_of_memory
from extractors.engines.runtime import inference

SIZES = (32, 64, 128, 256, 512)


def run(bench: Bench) -> None:
    for precision in reversed(bench.precisions):  # half types first: they are what a GPU is bought for
        for name in bench.backbones:
            extractor = bench.load(name, precision)
            if extractor is None:
                continue
            operations = flops(bench, extractor)
            for size in (1, 2) if bench.small else SIZES:
                if not bench.has_time:
                    bench.say(backbone=name, precision=precision, batch_units=size, skipped="no time left")
                elif not measured(bench, extractor, precision, size, operations):
                    break


def flops(bench: Bench, extractor: Extractor) -> float:
    """Of one unit, counted by torch."""
    with FlopCounterMode(display=False) as counter, inference(extractor.precision):
        extractor.forward(torch.from_numpy(units_of(extractor, 1)))
    return float(counter.get_total_flops())


def measured(bench: Bench, extractor: Extractor, precision: str, size: int, operations: float) -> bool:
    """Measure one size; false where it does not fit, nor will larger ones."""
    batch = torch.from_numpy(units_of(extractor, size)).to(bench.device)
    if bench.on_gpu:
        torch.cuda.reset_peak_memory_stats(bench.device)
    try:
        with inference(precision):
            seconds = bench.seconds(lambda: extractor.forward(batch), repeats=1 if bench.small else 5)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        bench.say(backbone=extractor.name, precision=precision, batch_units=size, skipped="out of memory")
        return False
    rate = size / seconds
    tflops = rate * operations / 1e12
    best = bench.facts["clips_per_second"].setdefault(precision, {})
    best[extractor.name] = max(best.get(extractor.name, 0.0), rate / units_a_clip(extractor))
    bench.say(
        backbone=extractor.name, precision=precision, batch_units=size, units_per_second=rate, tflops=tflops,
        share_of_product=tflops / bench.facts["product"][precision] if bench.facts["product"] else None,
        peak_bytes=torch.cuda.max_memory_allocated(bench.device) if bench.on_gpu else None,
    )  # fmt: skip
    return True
