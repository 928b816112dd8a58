"""Small clips, toy backbones in child processes, and Prefect as ``avvp up`` starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from processes import kill

from extractors.registry import BACKBONES

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
START_SECONDS = 120
RUN_SECONDS = 120


@pytest.fixture(scope="session")
def six_clips(tmp_path_factory):
    """Six clips of 2 s, each its own colour and tone; the last one is broken."""
    from pipeline.decode.ffmpeg_binary import ffmpeg_path

    folder = tmp_path_factory.mktemp("six")
    for number, colour in enumerate(("red", "green", "blue", "white", "yellow")):
        subprocess.run(
            [
                ffmpeg_path(), "-loglevel", "error", "-y",
                "-f", "lavfi", "-i", f"color={colour}:s=96x64:r=10:d=2",
                "-f", "lavfi", "-i", f"sine={220 * (number + 1)}:r=44100:d=2",
                "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac",
                str(folder / f"{number} {colour}.mp4"),
            ],
            check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    (folder / "x broken.mp4").write_bytes(b"\0" * 1000)
    return folder


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.syspath_prepend(str(DATA))
    for kind in ("Visual", "Audio", "Fragile", "Sticky", "Buggy"):
        monkeypatch.setitem(BACKBONES, f"toy_{kind.lower()}", f"toy_backbones:Toy{kind}")


def toy_environment(**more):
    """For processes of a test: our checkout, the toys, and no Prefect settings of whoever runs the test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    path = os.pathsep.join([str(DATA / "toy_site"), str(ROOT)])
    return {**kept, "PYTHONPATH": path, "AVVP_TEST_TOYS": "1", "OMP_NUM_THREADS": "1", **more}


@dataclass
class Up:
    """Prefect on this machine, as a second terminal sees it."""

    process: subprocess.Popen
    environment: dict
    folder: Path
    log: Path

    def prefect(self, *arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "prefect", *map(str, arguments)],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=RUN_SECONDS, **options,
        )  # fmt: skip

    def extract_arguments(self, clips, store, **parameters):
        given = {"clips": clips, "store": store, "backbones": '["toy_visual", "toy_audio"]', "clip_seconds": 2,
                 "weights": '["random:3"]', "shard_size": 1, "workers": 1, **parameters}  # fmt: skip
        return ["deployment", "run", "extract-llp/local", "--watch",
                *(part for name, value in given.items() for part in ("-p", f"{name}={value}"))]  # fmt: skip

    def run_extract(self, clips, store, **parameters):
        return self.prefect(*self.extract_arguments(clips, store, **parameters))

    def descendants(self):
        return psutil.Process(self.process.pid).children(recursive=True)


def start_up(folder, **more):
    """Start ``python -m flows.up`` on a free port and wait until it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "up.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.up", "--home", ".avvp/prefect", "--port", str(port)],
            env=toy_environment(**more), cwd=folder, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    end = time.monotonic() + START_SECONDS
    while "ready." not in log.read_text() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.3)
    assert "ready." in log.read_text(), log.read_text()
    lines = (folder / ".avvp" / "prefect" / "env").read_text().splitlines()
    found = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    return Up(process, {**toy_environment(**more), **found}, folder, log)


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    started = start_up(tmp_path_factory.mktemp("project"), TOY_SLEEP="0.4")
    yield started
    family = [psutil.Process(started.process.pid), *started.descendants()] if started.process.poll() is None else []
    if family:
        started.process.send_signal(signal.SIGTERM)
        started.process.wait(60)
    kill(family[1:])
