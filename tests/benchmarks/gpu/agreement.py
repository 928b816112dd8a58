"""Stage 2: features of every precision against float32 on the CPU, and which bits come out again."""

from __future__ import annotations

import time

import numpy as np
import torch
from bench import Bench, load, units_a_clip, units_of

from extractors.base import Extractor
from extractors.engines.batches import run_batched
from storage.errors import AvvpError


def run(bench: Bench) -> None:
    ways = [(precision, False) for precision in bench.precisions]
    if bench.compiles:  # a minute or more each: the precisions that will be used first
        ways += [(precision, True) for precision in reversed(bench.precisions)]
    references: dict[str, tuple[np.ndarray, ...] | None] = {}
    for precision, compiled in ways:
        for name in bench.backbones:
            if not bench.has_time:
                bench.say(backbone=name, precision=precision, compiled=compiled, skipped="no time left")
                continue
            if name not in references:
                references[name] = reference(bench, name)
            extractor = bench.load(name, precision)
            if extractor is not None and references[name] is not None:
                compare(bench, extractor, references[name], precision=precision, compiled=compiled)


def reference(bench: Bench, name: str) -> tuple[np.ndarray, ...] | None:
    """Outputs of a tenth of a clip or more, in float32 on the CPU."""
    try:
        extractor = load(name, device="cpu", precision="float32")
    except (ImportError, AvvpError) as missing:
        bench.say(backbone=name, skipped=str(missing))
        return None
    count = 2 if bench.small else max(4, units_a_clip(extractor) // 5)
    return run_batched(extractor.forward, units_of(extractor, count), batch_units=extractor.cpu_batch)


def compare(bench: Bench, extractor: Extractor, wanted, *, precision: str, compiled: bool) -> None:
    torch.compiler.reset()
    runner = bench.runner(extractor, compiled=compiled)
    count = len(wanted[0])
    # The whole batch that is run at work: kernels are chosen by its shape.
    units = units_of(extractor, runner.batch_units, seed=1)
    units[: min(count, len(units))] = units_of(extractor, count)[: len(units)]
    began = time.perf_counter()
    outputs = runner.submit(units).result()
    first = time.perf_counter() - began
    again = runner.submit(units).result()
    place = len(units) - 1
    alone = runner.submit(units[place:]).result()
    for number, (want, got) in enumerate(zip(wanted, outputs, strict=True)):
        shared = min(len(want), len(got))
        a, b = (part[:shared].reshape(shared, -1).astype(np.float64) for part in (want, got))
        cosines = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-30)
        bench.say(
            backbone=extractor.name, output=number, precision=precision, compiled=compiled,
            difference=float(np.abs(a - b).max() / np.abs(a).max()), lowest_cosine=float(cosines.min()),
            finite=bool(np.isfinite(got).all()), same_bits_twice=bool((got == again[number]).all()),
            same_bits_alone=bool((got[place] == alone[number][0]).all()),
            batch_units=len(units), first_batch_seconds=first,
            seconds_a_batch=bench.seconds(lambda: runner.submit(units).result(), repeats=1 if bench.small else 3),
        )  # fmt: skip
