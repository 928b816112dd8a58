"""Two small backbones for tests: exact, quick, and able to fail or dawdle when told to by the environment."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from extractors.base import Extractor, Units
from extractors.views import AudioView, FrameView
from extractors.weights.loading import WeightsSource
from storage.schema import FeatureSpec


class Toy(Extractor):
    code_version = "1"
    cpu_batch = 5
    weights_source = WeightsSource("http://127.0.0.1:9/toy.pth", "toy.pth")

    def load(self, weights, **how):
        self._seed = weights.seed

    def forward(self, batch):
        time.sleep(float(os.environ.get("TOY_SLEEP", "0")))
        flat = batch.float().flatten(1)
        return (flat.mean(1, keepdim=True).repeat(1, 3) + self._seed,)


class ToyVisual(Toy):
    """The mean colour of each frame."""

    modality = "visual"
    allows_frame_rate = True

    @property
    def view(self):
        return FrameView(self.frames_per_second or 4, 8, "squash")

    @property
    def specs(self):
        steps = self.view.frames(self.clip_seconds)
        return (FeatureSpec(self.array_name, steps, 3, "visual", 1 / self.view.frames_per_second),)

    def units(self, clip):
        return Units(clip.pixels, clip.valid)

    def forward(self, batch):
        return (super().forward(batch)[0] * 0 + batch.float().mean((1, 2)) + self._seed,)


class ToyAudio(Toy):
    """The loudness of each second."""

    modality = "audio"
    view = AudioView(16_000)

    @property
    def specs(self):
        return (FeatureSpec(self.array_name, self.clip_seconds, 3, "audio", 1.0),)

    def units(self, clip):
        seconds = clip.samples.reshape(self.clip_seconds, 16_000)
        return Units(np.abs(seconds), clip.segment_valid(self.clip_seconds))


class ToyFragile(ToyVisual):
    """Raises on clips that are mostly red."""

    def forward(self, batch):
        colour = batch.float().mean((0, 1, 2))
        if float(colour[0]) > 2 * float(colour[1:].max()):
            raise RuntimeError("cannot stand red")
        return super().forward(batch)


class ToySticky(ToyVisual):
    """Its device breaks at batch ``TOY_STICKY_AT``, for good; only in the process that makes ``TOY_STICKY_ONCE``."""

    def load(self, weights, **how):
        super().load(weights, **how)
        self._batches = 0

    def _is_the_one(self):
        name = os.environ.get("TOY_STICKY_ONCE")
        if name is None or getattr(self, "_mine", False):
            return True
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        self._mine = True
        return True

    def forward(self, batch):
        self._batches += 1
        at = int(os.environ.get("TOY_STICKY_AT", "0"))
        if at and self._batches >= at and self._is_the_one():
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with TORCH_USE_CUDA_DSA")
        return super().forward(batch)


class ToyBuggy(ToyVisual):
    """Raises on every batch once ``TOY_BUGGY`` clips have been cut into units; its words hold a number that varies."""

    def load(self, weights, **how):
        super().load(weights, **how)
        self._clips = 0

    def units(self, clip):
        self._clips += 1
        if self._clips > int(os.environ.get("TOY_BUGGY", "1000000")):
            raise ValueError(f"clip {self._clips}: no such thing")
        return super().units(clip)


class ToyDeadly(ToyVisual):
    """Ends or fails its process: while it is built, on the devices of ``TOY_DIES_ON``, or at a clip that is red.

    Notes in ``TOY_LOADS`` that it was built, and computes nothing before there are ``TOY_WAITS`` such notes. With
    ``TOY_PASSES``, a file, its first building fails as a disk may.
    """

    def load(self, weights, **how):
        super().load(weights, **how)
        if name := os.environ.get("TOY_LOADS"):
            with Path(name).open("a") as file:
                file.write("loaded\n")
        if os.environ.get("TOY_DIES_ON") in sys.argv:
            os._exit(9)
        name = os.environ.get("TOY_PASSES")
        if name and not Path(name).exists():
            Path(name).touch()
            raise OSError(5, "Input/output error")

    def forward(self, batch):
        while name := os.environ.get("TOY_LOADS"):
            if len(Path(name).read_text().splitlines()) >= int(os.environ.get("TOY_WAITS", "0")):
                break
            time.sleep(0.05)
        return super().forward(batch)

    def units(self, clip):
        colour = clip.pixels.mean((0, 1, 2))
        if os.environ.get("TOY_DIES_OF_RED") and colour[0] > 2 * colour[1:].max():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().units(clip)
