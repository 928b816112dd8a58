"""The engine's own ceiling: five backbones whose networks and decoding cost nothing. Prints one JSON line.

What is left is what one process does for a device: taking clips over, filling batches, assembling rows and committing
shards. No device is fed faster than that. Run by run.py in a process of its own; with ``{"profile": true}`` it shows
where the time goes.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch

from extractors import registry
from extractors.base import Extractor, Waveform
from extractors.batch_runner import BatchRunner
from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import DecodeReport, DecodeRequest, buffer_layout, open_buffer
from pipeline.extraction import batching, jobs
from pipeline.extraction.engine import Engine, LoadedBackbone
from pipeline.extraction.plan import ShardTask, make_plan
from pipeline.extraction.reporting import Reporter
from pipeline.extraction.sound_units import units_views
from pipeline.malloc import keep_freed_memory
from storage.clips import Clip, ClipTable
from storage.schema import Provenance, Status, fingerprint
from storage.store import FeatureStore

FIVE = ("resnet152", "r2plus1d_18", "clip_vit_l14", "vggish", "clap")
READY = DecodeReport(Status.OK, has_video=True, has_audio=True, fingerprint="0" * 64)


def with_null_network(extractor: Extractor) -> Extractor:
    """Its outputs are there already: numbers as varied as real features, two of five of them zero."""
    noise = np.random.RandomState(0)
    dims = [(64, spec.dim) if spec.step_seconds is None else (spec.dim,) for spec in extractor.specs]
    outputs = [
        torch.from_numpy(np.maximum(noise.standard_normal((extractor.gpu_batch, *dim)) + 0.25, 0).astype(np.float32))
        for dim in dims
    ]
    extractor.forward = lambda batch: tuple(output[: len(batch)] for output in outputs)
    return extractor


class ReadyClips:
    """A source of clips that are decoded already: four buffers, again and again."""

    lookahead = 4

    def __init__(self, clips: list[Clip], extractors: list[Extractor]) -> None:
        views = list(dict.fromkeys(item.view for item in extractors))
        frames = tuple(view for view in views if isinstance(view, FrameView))
        sounds = tuple(view for view in views if isinstance(view, AudioView))
        self._requests = [
            DecodeRequest(clip.id, clip.path, frame_views=frames, audio_views=sounds, units=units_views(extractors))
            for clip in clips
        ]
        self._buffers = [self._filled(self._requests[0], number, extractors) for number in range(self.lookahead)]

    @staticmethod
    def _filled(request: DecodeRequest, seed: int, extractors: list[Extractor]) -> np.ndarray:
        noise = np.random.RandomState(seed)
        buffer = noise.randint(0, 256, request.shape.nbytes, dtype=np.uint8)
        layout = buffer_layout(request.shape)
        for view in request.frame_views:
            layout.array(buffer, view, "valid")[:] = True
        made = {}
        for view in request.audio_views:
            count = view.sample_rate_hz * request.clip_seconds
            layout.array(buffer, view, "samples")[:] = noise.uniform(-0.3, 0.3, count)
            layout.array(buffer, view, "valid_samples")[0] = count
            made[view] = Waveform(layout.array(buffer, view, "samples"), view.sample_rate_hz, count)
        for view, extractor in zip(
            request.units, [e for e in extractors if isinstance(e.view, AudioView)], strict=True
        ):
            units = extractor.units(made[view.sound])
            layout.array(buffer, view, "data")[:] = units.data
            layout.array(buffer, view, "valid")[:] = units.valid
        return buffer

    def decode(self, rows) -> Iterator:
        for turn, row in enumerate(row for row in rows if row is not None):
            yield row, open_buffer(self._requests[row], self._buffers[turn % self.lookahead], READY)


class Clock:
    """Seconds inside some methods, what they call among themselves counted once."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]

    def watch(self, owner: type, method: str, name: str) -> None:
        plain = getattr(owner, method)

        def timed(*args, **kwargs):
            began = time.thread_time()
            self._inner.append(0.0)
            try:
                return plain(*args, **kwargs)
            finally:
                spent = time.thread_time() - began
                self.seconds[name] += spent - self._inner.pop()
                self._inner[-1] += spent

        setattr(owner, method, timed)


def watch_stages() -> tuple[Clock, Clock]:
    """Clocks on the stages of the thread that feeds the device, and on the writer's thread."""
    feeding, writing = Clock(), Clock()
    feeding.watch(batching.Batcher, "add", "copying units into batches")
    feeding.watch(BatchRunner, "submit_buffer", "handing batches to the device")
    feeding.watch(batching.Batcher, "_scatter", "sharing out outputs")
    feeding.watch(batching.Batcher, "_assembled", "assembling clips")
    feeding.watch(Engine, "_deliver", "rows into shards")
    feeding.watch(jobs.ShardJob, "__init__", "opening shards")
    writing.watch(jobs.ShardJob, "commit", "committing, in the writer's thread")
    return feeding, writing


def open_store(url: str, clips: list[Clip], extractors: list[Extractor]) -> tuple[FeatureStore, dict[str, str]]:
    """A store with the arrays of all backbones, and their fingerprints."""
    store = FeatureStore.open_or_create(url, ClipTable(clips), clip_seconds=10, shard_size=64)
    identities = {}
    for extractor in extractors:
        for spec in extractor.specs:
            origin = Provenance(extractor.name, extractor.code_version, "random:0", {}, "uniform")
            store.ensure_feature(spec, origin)
            identities[spec.name] = fingerprint(spec, origin)
    return store, identities


def refuse(task: ShardTask) -> None:
    """Nobody else works on this store."""
    raise RuntimeError(f"shard {task.shard} is locked")


def run(count: int, *, profile: cProfile.Profile | None) -> dict[str, float]:
    """Run the engine over so many clips."""
    extractors = [with_null_network(registry.create(name)) for name in FIVE]
    clips = [Clip(f"clip {number}", f"/nowhere/{number}.mp4") for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        store, identities = open_store(f"{folder}/s.zarr", clips, extractors)
        plan = make_plan(store, list(identities), clips, fingerprint_of=lambda clip: "")
        backbones = [
            LoadedBackbone(item, BatchRunner(item, device="cpu", batch_units=item.gpu_batch)) for item in extractors
        ]
        source = ReadyClips(clips, extractors)
        engine = Engine(store, backbones, source, kept={}, identities=identities, reporter=Reporter())
        keep_freed_memory()
        began = time.perf_counter(), time.thread_time(), time.process_time()
        if profile is None:
            engine.run(plan.tasks, locked=refuse)
        else:
            profile.runcall(engine.run, plan.tasks, locked=refuse)
        ended = time.perf_counter(), time.thread_time(), time.process_time()
    seconds, thread, process = (after - before for before, after in zip(began, ended, strict=True))
    return {
        "clips_per_second": count / seconds,
        "main_thread_ms": 1000 * thread / count,
        "process_ms": 1000 * process / count,
    }


def main() -> None:
    request = json.loads(sys.argv[1])
    count = request.get("clips", 512)
    clocks = watch_stages() if request.get("stages") else ()
    profile = cProfile.Profile() if request.get("profile") else None
    found: dict[str, object] = dict(run(count, profile=profile))
    found["stages_ms"] = {name: 1000 * spent / count for clock in clocks for name, spent in clock.seconds.items()}
    if profile is not None:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
