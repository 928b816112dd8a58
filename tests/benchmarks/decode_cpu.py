"""Processor seconds of decoding one clip, with all views of the published backbones: ours against decord and ffmpeg.

The other way is the one that this project had before: frames of the same times by decord, sound at both rates by one
ffmpeg, shrunk by the same code. Both in one process, in turn. Prints one JSON line.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from extractors import registry
from extractors.views import AudioView, FrameView
from pipeline.decode.clip import decode_clip
from pipeline.decode.clip_buffer import DecodeRequest, buffer_layout
from pipeline.decode.decord_module import decord_module
from pipeline.decode.ffmpeg_binary import ffmpeg_path
from pipeline.decode.fingerprint import span_fingerprint
from pipeline.decode.picture_views import picture_views
from pipeline.decode.span import place
from pipeline.decode.timeline import read_timeline

BACKBONES = ("resnet152", "r2plus1d_18", "clip_vit_l14")
SOUNDS = (AudioView(16_000), AudioView(48_000))
ROUNDS = 5
WARM_UP = 3
"""The resize compiles itself beside its first frames."""
HEIGHTS = (240, 480)


def request_of(path: str) -> DecodeRequest:
    views = [registry.create(name, clip_seconds=10).view for name in BACKBONES]
    frames = tuple(dict.fromkeys(view for view in views if isinstance(view, FrameView)))
    return DecodeRequest("clip", path, sampling="published", frame_views=frames, audio_views=SOUNDS)


def ours(request: DecodeRequest, buffer: np.ndarray) -> None:
    report = decode_clip(request, buffer)
    if not report.status.has_features:
        raise SystemExit(report.reason)


def other(request: DecodeRequest, buffer: np.ndarray) -> None:
    """decord for the pictures, ffmpeg for the sound."""
    span_fingerprint(request.path, start_seconds=0, end_seconds=None)
    timeline = read_timeline(request.path)
    span = place(request, timeline.duration_seconds)
    views = picture_views(request, buffer, buffer_layout(request.shape), timeline.video, span)
    reader = decord_module().VideoReader(request.path, num_threads=1)
    wanted = views.wanted
    for start in range(0, len(wanted), 32):
        chunk = wanted[start : start + 32]
        for index, image in zip(chunk, reader.get_batch(chunk).asnumpy(), strict=True):
            views.write(index, image)
    split = "[0:a]asplit=2[a][b];[a]aresample=16000,aformat=flt:channel_layouts=mono[c];"
    split += "[b]aresample=48000,aformat=flt:channel_layouts=mono[d]"
    with tempfile.NamedTemporaryFile() as low, tempfile.NamedTemporaryFile() as high:
        outputs = ["-map", "[c]", "-f", "f32le", low.name, "-map", "[d]", "-f", "f32le", high.name]
        quiet = [ffmpeg_path(), "-nostdin", "-v", "error", "-y", "-t", "10"]
        subprocess.run([*quiet, "-i", request.path, "-filter_complex", split, *outputs], check=True)
        for file in (low, high):
            np.fromfile(file.name, "<f4")


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def spent(work, request: DecodeRequest, buffer: np.ndarray) -> float:
    before = cpu_seconds()
    work(request, buffer)
    return cpu_seconds() - before


def main() -> None:
    asked = json.loads(sys.argv[1])
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for height in HEIGHTS:
            sums = {"ours": 0.0, "other": 0.0}
            for clip in asked["clips"]:
                path = f"{folder}/{height}_{Path(clip).name}"
                scaled = ["-vf", f"scale=-2:{height}", "-c:v", "libx264", "-crf", "23", "-c:a", "copy", path]
                subprocess.run([ffmpeg_path(), "-nostdin", "-v", "error", "-y", "-i", clip, *scaled], check=True)
                request = request_of(path)
                buffer = np.zeros(request.shape.nbytes, np.uint8)
                for work in (ours, other) * WARM_UP:
                    work(request, buffer)
                rounds = [(spent(ours, request, buffer), spent(other, request, buffer)) for _ in range(ROUNDS)]
                for name, seconds in zip(sums, zip(*rounds, strict=True), strict=True):
                    sums[name] += statistics.median(seconds) / len(asked["clips"])
            found[str(height)] = sums
    print(json.dumps(found))


if __name__ == "__main__":
    main()
