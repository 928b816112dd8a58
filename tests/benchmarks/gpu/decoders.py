"""Stage 7: what decoding costs here, and a whole run on clips that are all different."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from bench import STAND_IN, Bench

HEIGHTS = (240, 360, 480)


def run(bench: Bench) -> None:
    try:
        import pipeline.decode.clip
        import pipeline.extraction.extract  # noqa: F401 - found missing now, not after the clips were made
        from pipeline.synthetic.dataset import write_dataset
    except ImportError as missing:
        bench.say(skipped=f"decoding needs {missing.name}")
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = bench.clips
        if not paths:
            write_dataset(folder, count=3 if bench.small else 300, workers=len(os.sched_getaffinity(0)))
            paths = sorted(Path(folder, "clips").glob("*.mp4"))
        decoding(bench, [str(path) for path in paths[: 1 if bench.small else 4]], folder)
        if bench.has_time:
            end_to_end(bench, paths, folder)


def decoding(bench: Bench, paths: list[str], folder: str) -> None:
    """Processor seconds of one clip with the views of all backbones, by height."""
    from pipeline.decode.clip import decode_clip
    from pipeline.decode.ffmpeg_binary import ffmpeg_path

    for height in HEIGHTS[:1] if bench.small else HEIGHTS:
        spent = []
        for path in paths:
            scaled = f"{folder}/{height}_{Path(path).name}"
            how = ["-vf", f"scale=-2:{height}", "-c:v", "libx264", "-c:a", "copy", scaled]
            subprocess.run([ffmpeg_path(), "-nostdin", "-v", "error", "-y", "-i", path, *how], check=True)
            request = request_of(scaled, bench.backbones)
            buffer = np.zeros(request.shape.nbytes, np.uint8)
            for turn in range(1 if bench.small else 5):
                before = processor_seconds()
                report = decode_clip(request, buffer)
                if turn >= (0 if bench.small else 2):  # the resize compiles itself beside its first frames
                    spent.append(processor_seconds() - before)
                if not report.status.has_features:
                    bench.say(height=height, skipped=report.reason)
                    return
        median = statistics.median(spent)
        bench.facts["decode_seconds"].update({height: median} if bench.clips else {})
        bench.say(height=height, processor_seconds_a_clip=median, made_up=not bench.clips)


def request_of(path: str, backbones: list[str]):
    from extractors import registry
    from extractors.views import AudioView, FrameView
    from pipeline.decode.clip_buffer import DecodeRequest

    views = dict.fromkeys(registry.create(name).view for name in backbones if name != STAND_IN)
    frames = tuple(view for view in views if isinstance(view, FrameView))
    sounds = tuple(view for view in views if isinstance(view, AudioView))
    return DecodeRequest("clip", path, frame_views=frames, audio_views=sounds)


def processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def end_to_end(bench: Bench, paths: list[Path], folder: str) -> None:
    """The whole command, decode workers and all."""
    from pipeline.extraction.extract import extract
    from pipeline.extraction.options import ExtractOptions
    from pipeline.extraction.reporting import Reporter
    from storage.clips import Clip, ClipTable

    class Watch(Reporter):
        def running(self) -> None:
            self.began = time.perf_counter()

    watch, precision = Watch(), bench.precisions[-1]
    names = [name for name in bench.backbones if name != STAND_IN and bench.load(name, precision) is not None]
    options = ExtractOptions(names, ("random:0",), device=bench.device, precision=precision, engine="torch")
    table = ClipTable([Clip(path.stem, str(path)) for path in paths])
    report = extract(table, f"{folder}/s.zarr", options, reporter=watch)
    rate = report.read / (time.perf_counter() - watch.began)
    bench.facts["end_to_end_clips_per_second"][precision] = rate
    bench.say(
        end_to_end=names, precision=precision, clips=report.read, failed=len(report.failed), clips_per_second=rate
    )
