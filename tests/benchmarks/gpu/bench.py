"""What the stages share: time, output, loaded backbones, and clocks that wait for the device."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from extractors import registry
from extractors.base import Extractor
from extractors.batch_runner import BatchRunner, CudaLanes, Lanes
from extractors.engines.runtime import PRECISIONS, check_precision
from extractors.weights.loading import resolve
from storage.errors import AvvpError, InvalidInput

FIVE = ("resnet152", "r2plus1d_18", "clip_vit_l14", "vggish", "clap")
STAND_IN = "vit_l14_torchvision"
"""Runs in the place of CLIP where open_clip is not installed: the same layers and products, from torchvision."""


class FakeLanes:
    """A GPU's lanes on a CPU: batches are staged, and results are not given before they are waited for."""

    pinned = True

    def copy_in(self, host, device):
        return host.clone()

    def copy_out(self, outputs):
        return lambda: tuple(output.float().numpy() for output in outputs)


@dataclass
class Bench:
    """One run.

    Attributes:
        device: what is measured.
        backbones: by name.
        precisions: that the device has.
        compiles: whether compiled networks are measured too.
        small: tiny batches, to see on a CPU that every stage runs.
        clips: real ones, for decoding; made-up ones are easier to decode.
        ends: when to stop, on the monotonic clock.
        stage: number of the one that runs.
        stage_ends: when it should stop.
        facts: what the verdict is made from.
    """

    device: str
    backbones: list[str]
    precisions: list[str]
    compiles: bool
    small: bool
    clips: list[Path]
    ends: float
    stage: int = 0
    stage_ends: float = 0.0
    facts: dict[str, dict] = field(default_factory=lambda: defaultdict(dict))
    _loaded: dict[tuple[str, str], Extractor | None] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"

    @property
    def has_time(self) -> bool:
        return time.monotonic() < self.stage_ends

    def say(self, **facts: object) -> None:
        """One line of JSON, at once: whoever pays for the machine may stop it."""
        print(json.dumps({"stage": self.stage, **facts}), flush=True)

    def lanes(self) -> Lanes:
        return CudaLanes(torch.device(self.device)) if self.on_gpu else FakeLanes()

    def runner(self, extractor: Extractor, **how: object) -> BatchRunner:
        how = {"lanes": self.lanes(), "batch_units": self.batch_of(extractor), **how}
        return BatchRunner(extractor, device=self.device, **how)

    def batch_of(self, extractor: Extractor) -> int:
        return 2 if self.small else extractor.gpu_batch

    def load(self, name: str, precision: str) -> Extractor | None:
        """A backbone on the device, kept for later stages; ``None``, told once, where a package is missing."""
        key = (name, precision)
        if key not in self._loaded:
            try:
                self._loaded[key] = load(name, device=self.device, precision=precision)
            except (ImportError, AvvpError) as missing:
                self._loaded[key] = None
                self.say(backbone=name, precision=precision, skipped=str(missing))
        return self._loaded[key]

    def seconds(self, work, *, repeats: int) -> float:
        """Of one call, after two that warm up: by events on a GPU, where a call only launches."""
        for _ in range(1 if self.small else 2):
            work()
        if not self.on_gpu:
            began = time.perf_counter()
            for _ in range(repeats):
                work()
            return (time.perf_counter() - began) / repeats
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        for _ in range(repeats):
            work()
        ended.record()
        ended.synchronize()
        return began.elapsed_time(ended) / 1000 / repeats


def load(name: str, *, device: str, precision: str) -> Extractor:
    """A backbone with random weights; clips of ten seconds."""
    if name != STAND_IN:
        return registry.load(name, weights="random:0", device=device, precision=precision, engine="torch")
    from stand_in import VitL14

    extractor = VitL14(name=STAND_IN)
    extractor.load(resolve("random:0", extractor.weights_source), device=device, precision=precision)
    return extractor


def precisions_of(device: str, asked: list[str] | None) -> list[str]:
    """Those asked for; else all that a GPU has, and float32 on a CPU."""
    if asked or device == "cpu":
        return asked or ["float32"]
    found = []
    for precision in PRECISIONS:
        try:
            found.append(check_precision(precision, device))
        except InvalidInput:
            continue
    return found


def units_of(extractor: Extractor, count: int, *, seed: int = 0) -> np.ndarray:
    """Made-up units: pixels, or numbers about as large as log-mels."""
    noise = np.random.default_rng(seed)
    shape = (count, *extractor.unit_shape)
    if extractor.unit_dtype == "uint8":
        return noise.integers(0, 256, shape, dtype=np.uint8)
    return noise.normal(-4, 2, shape).astype(np.float32)


def units_a_clip(extractor: Extractor) -> int:
    """Of ten seconds; a backbone with an array for the whole clip has a unit for it."""
    return extractor.specs[0].steps + len(extractor.specs) - 1
