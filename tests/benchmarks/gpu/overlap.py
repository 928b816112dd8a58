"""Stage 4: whether copies overlap with computing, and whether a buffer is used while the device still reads it."""

from __future__ import annotations

import time

import numpy as np
import torch
from bench import Bench, units_of

from extractors.base import Extractor
from extractors.batch_runner import BatchRunner
from extractors.engines.runtime import inference
from extractors.views import AudioView
from extractors.weights.loading import WeightsSource
from storage.schema import FeatureSpec

LIGHT = "vggish"
"""Small products, so that copying is a good part of it."""


class Tags(Extractor):
    """Gives back the number that each unit is filled with, after work that keeps the device busy for a while."""

    modality = "audio"
    view = AudioView(1)
    specs = (FeatureSpec("tags", 1, 1, "audio"),)
    weights_source = WeightsSource("", "")

    def __init__(self, bench: Bench) -> None:
        super().__init__(name="tags")
        self._weight = torch.rand(64, 64) if bench.small else torch.rand(4096, 4096, device=bench.device)

    def load(self, weights, **how):
        """Nothing to load."""

    def units(self, clip):
        raise NotImplementedError

    def forward(self, batch):
        busy = self._weight
        for _ in range(4):
            busy = torch.tanh(busy @ self._weight)
        flat = batch.flatten(1).long()
        tags = torch.where(flat.amin(1) == flat.amax(1), flat[:, 0], -1)  # -1: two batches in one buffer
        return ((tags + busy.flatten()[0].long() * 0).float(),)


def run(bench: Bench) -> None:
    reuse(bench)
    extractor = bench.load(LIGHT, "float32")
    if extractor is not None and bench.has_time:
        overlapping(bench, extractor)


def reuse(bench: Bench) -> None:
    """Many batches, each unit filled with a number of its own."""
    batches, size, shape = (8, 4, (64,)) if bench.small else (200, 64, (224, 224, 3))
    runner = BatchRunner(Tags(bench), device=bench.device, batch_units=size, lanes=bench.lanes())
    pending, wrong, taken = [], 0, 0

    def take() -> int:
        tags, result = pending.pop(0)
        return int((result.result()[0] != tags).sum())

    for number in range(batches):
        buffer = runner.buffer(shape, np.uint8)
        tags = (np.arange(size) * 7 + number) % 251
        buffer[:] = tags.reshape(-1, *[1] * len(shape))
        pending.append((tags, runner.submit_buffer(buffer, size)))
        if len(pending) >= runner.in_flight:
            wrong, taken = wrong + take(), taken + 1
    while pending:
        wrong, taken = wrong + take(), taken + 1
    bench.say(reuse="buffers", batches=taken, wrong_units=wrong)


def overlapping(bench: Bench, extractor: Extractor) -> None:
    """Seconds a batch through the loop, over copying and computing one after the other."""
    runner = bench.runner(extractor)
    units = units_of(extractor, runner.batch_units)
    host = torch.from_numpy(units).pin_memory() if bench.on_gpu else torch.from_numpy(units)
    there = host.to(bench.device)
    with inference():
        compute = bench.seconds(lambda: extractor.forward(there), repeats=3)
    copy = bench.seconds(lambda: there.copy_(host, non_blocking=True), repeats=3)
    count = 3 if bench.small else 50
    began, pending = time.perf_counter(), []
    for _ in range(count):
        buffer = runner.buffer(units.shape[1:], units.dtype)
        buffer[:] = units
        pending.append(runner.submit_buffer(buffer, len(units)))
        if len(pending) >= runner.in_flight:
            pending.pop(0).result()
    for last in pending:
        last.result()
    seconds = (time.perf_counter() - began) / count
    bench.say(
        overlap=extractor.name, batch_units=len(units), compute_seconds=compute, copy_seconds=copy,
        loop_seconds=seconds, compute_share=compute / seconds,
    )  # fmt: skip
