"""Small real clips made by ffmpeg, toy backbones, and the command line with its exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

from extractors.registry import BACKBONES
from pipeline.build.ffmpeg_binary import ffmpeg_path
from pipeline.cli import main

DATA = Path(__file__).resolve().parents[1] / "data"
COLOURS = ("red", "green", "blue", "white", "yellow", "purple")


@pytest.fixture(scope="session")
def ffmpeg():
    def run(*arguments):
        command = [ffmpeg_path(), "-loglevel", "error", "-y", *map(str, arguments)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    return run


@pytest.fixture(scope="session")
def make_clip(ffmpeg):
    """Make one clip: a plain colour with noise, and a tone."""

    def make(path, *, colour="green", seconds=2, tone_hz=440, video=True, audio=True, size="96x64", rate=10, extra=()):
        inputs, codecs = [], []
        if video:
            inputs += ["-f", "lavfi", "-i", f"color={colour}:s={size}:r={rate}:d={seconds},noise=alls=8:all_seed=7"]
            codecs += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
        if audio:
            inputs += ["-f", "lavfi", "-i", f"sine={tone_hz}:r=44100:d={seconds}"]
            codecs += ["-c:a", "aac"]
        path.parent.mkdir(parents=True, exist_ok=True)
        ffmpeg(*inputs, *codecs, *extra, f"file:{path}")
        return path

    return make


@pytest.fixture(scope="session")
def six_clips(make_clip, tmp_path_factory):
    """Six good clips of 2 s, each its own colour and tone."""
    folder = tmp_path_factory.mktemp("six")
    for number, colour in enumerate(COLOURS):
        make_clip(folder / f"{number} {colour}.mp4", colour=colour, tone_hz=220 * (number + 1))
    return folder


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.syspath_prepend(str(DATA))
    for name, kind in (("toy_visual", "ToyVisual"), ("toy_audio", "ToyAudio"), ("toy_fragile", "ToyFragile")):
        monkeypatch.setitem(BACKBONES, name, f"toy_backbones:{kind}")


@pytest.fixture
def avvp(toys, capsys):
    """Run the command line here; gives exit code, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        out = capsys.readouterr()
        return exit_.value.code, out.out, out.err

    return run


@pytest.fixture
def avvp_process(tmp_path):
    """Start the command line with the toys as a process of its own."""

    def start(*arguments, **environment):
        import os

        command = [sys.executable, str(DATA / "avvp_with_toys.py"), *map(str, arguments)]
        with (tmp_path / "log.txt").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})

    return start
