"""Stage 5: the engine with real networks and clips that cost nothing to decode: what one process can do."""

from __future__ import annotations

import tempfile
import time

import torch
from bench import STAND_IN, Bench, FakeLanes

from extractors.batch_runner import CudaLanes


class Busy:
    """Seconds in which networks computed: between the end of the copy in and the start of the copy out."""

    def __init__(self, *, on_gpu: bool) -> None:
        self._on_gpu = on_gpu
        self._marks: list[tuple[object, object]] = []

    def begin(self) -> None:
        self._marks.append((self._mark(), None))

    def end(self) -> None:
        self._marks[-1] = (self._marks[-1][0], self._mark())

    def _mark(self) -> object:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> float:
        if not self._on_gpu:
            return sum(after - before for before, after in self._marks)
        torch.cuda.synchronize()
        return sum(before.elapsed_time(after) for before, after in self._marks) / 1000


def watched(bench: Bench, busy: Busy):
    """The device's lanes, with marks around the network."""
    plain = CudaLanes if bench.on_gpu else FakeLanes

    class Watched(plain):
        def copy_in(self, host, device):
            batch = super().copy_in(host, device)
            busy.begin()
            return batch

        def copy_out(self, outputs):
            busy.end()
            return super().copy_out(outputs)

    return Watched(torch.device(bench.device)) if bench.on_gpu else Watched()


def run(bench: Bench) -> None:
    try:
        import ceiling
    except ImportError as missing:
        bench.say(skipped=f"the engine needs {missing.name}")
        return
    for precision in reversed(bench.precisions):
        loaded = [bench.load(name, precision) for name in bench.backbones if name != STAND_IN]
        extractors = [extractor for extractor in loaded if extractor is not None]
        if not extractors or not bench.has_time:
            bench.say(precision=precision, skipped="no time left" if extractors else "no backbone")
            continue
        count = 2 if bench.small else 32
        while True:
            seconds = measured(bench, ceiling, extractors, precision, count)
            if bench.small or seconds > 10 or count >= 512 or not bench.has_time:
                break
            count *= 4


def measured(bench: Bench, ceiling, extractors, precision: str, count: int) -> float:
    """One run of the engine over so many clips."""
    from pipeline.extraction.engine import Engine, LoadedBackbone
    from pipeline.extraction.plan import make_plan
    from pipeline.extraction.reporting import Reporter
    from storage.clips import Clip

    clips = [Clip(f"clip {number}", f"/nowhere/{number}.mp4") for number in range(count)]
    busy = Busy(on_gpu=bench.on_gpu)
    with tempfile.TemporaryDirectory() as folder:
        store, identities = ceiling.open_store(f"{folder}/s.zarr", clips, extractors)
        plan = make_plan(store, list(identities), clips, fingerprint_of=lambda clip: "")
        backbones = [LoadedBackbone(item, bench.runner(item, lanes=watched(bench, busy))) for item in extractors]
        source = ceiling.ReadyClips(clips, extractors)
        engine = Engine(store, backbones, source, kept={}, identities=identities, reporter=Reporter())
        began, thread = time.perf_counter(), time.thread_time()
        engine.run(plan.tasks, locked=lambda task: None)
        seconds, thread = time.perf_counter() - began, time.thread_time() - thread
    bench.facts["main_thread_seconds"][precision] = thread / count
    bench.facts["engine_clips_per_second"][precision] = count / seconds
    bench.say(
        precision=precision, backbones=[item.name for item in extractors], clips=count,
        clips_per_second=count / seconds, main_thread_ms_a_clip=1000 * thread / count,
        device_busy_share=busy.seconds() / seconds,
    )  # fmt: skip
    return seconds
