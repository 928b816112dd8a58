"""Decoding alone: ours in worker processes against ffmpeg dumps and Pillow, both on all cores. Prints one JSON line."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from extractors.views import AudioView, FrameView
from pipeline.decode.ffmpeg_binary import ffmpeg_path
from pipeline.extraction.sources import PoolSource, request_of
from storage.clips import Clip

VIEW = FrameView(8, 224, "crop", short_side=256)
TRANSFORM = Compose([Resize(256), CenterCrop(224)])
WARM_UP = 8
ROUNDS = 5
SOUNDS = (AudioView(16_000), AudioView(48_000))


def plain(clip: str) -> int:
    """As the AVVP scripts: JPEGs, a wav a rate, then read and resize them for a network."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = [ffmpeg_path(), "-loglevel", "error", "-y", "-i", clip]
        subprocess.run([*quiet, "-r", "8", f"{folder}/%06d.jpg"], check=True)
        for sound in SOUNDS:
            subprocess.run([*quiet, "-vn", "-ac", "1", "-ar", str(sound.sample_rate_hz), f"{folder}/s.wav"], check=True)
        files = sorted(Path(folder).glob("*.jpg"))
        chosen = np.round(np.linspace(0, len(files) - 1, 80)).astype(int)
        return sum(np.asarray(TRANSFORM(Image.open(files[index]).convert("RGB"))).size for index in chosen)


def children_cpu_seconds() -> float:
    """Processor seconds of the workers that are up, and of the ffmpegs that they have run."""
    times = [child.cpu_times() for child in psutil.Process().children()]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


def main() -> None:
    request = json.loads(sys.argv[1])
    paths = request["clips"] * request["copies"]
    cores = len(os.sched_getaffinity(0))
    clips = [Clip(str(number), path) for number, path in enumerate(paths)]
    requests = [
        request_of(clip, clip_seconds=10, sampling="published", frame_views=[VIEW], audio_views=SOUNDS)
        for clip in clips
    ]
    with PoolSource(requests.__getitem__, shape=requests[0].shape, workers=cores, deadline_seconds=60) as source:
        for _, decoded in source.decode(range(WARM_UP * cores)):  # workers start here, and compile their resize
            decoded.release()
        cpu = children_cpu_seconds()
        ours, other = [], []
        for _ in range(ROUNDS):  # in turn: what the machine does meanwhile meets both
            ours.append(timed(partial(decode_all, source, len(clips))))
            cpu_of_round = children_cpu_seconds() - cpu
            with ThreadPoolExecutor(cores) as pool:
                other.append(timed(lambda pool=pool: list(pool.map(plain, paths))))
            cpu = children_cpu_seconds()
    found = {"ours": statistics.median(ours), "ours_cpu": cpu_of_round, "plain": statistics.median(other)}
    print(json.dumps({name: seconds / len(paths) for name, seconds in found.items()}))


def decode_all(source: PoolSource, count: int) -> None:
    for _, decoded in source.decode(range(count)):
        if not decoded.report.status.has_features:
            raise SystemExit(decoded.report.reason)
        decoded.release()


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
