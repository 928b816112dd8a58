"""Fixtures of media made by ffmpeg: small, once a session."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.decode.ffmpeg_binary import ffmpeg_path

CODE_BITS = 12
CODE_WIDTH, CODE_HEIGHT = 8 * CODE_BITS, 16
H264 = ("-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p")
VP9 = ("-c:v", "libvpx-vp9", "-crf", "8", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "8", "-pix_fmt", "yuv420p")
BARS = np.array(
    [(255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255), (40, 90, 160)]
)


def run_ffmpeg(*args: str | Path, stdin: bytes | None = None) -> bytes:
    command = [ffmpeg_path(), "-v", "error", "-y", *map(str, args)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    return done.stdout


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., bytes]:
    """Run ffmpeg; gives its standard output."""
    return run_ffmpeg


@pytest.fixture(scope="session")
def media_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def numbered(media_dir) -> Callable[..., str]:
    """Make a video whose frames carry their number as a block code. ``(name, frames, fps, *output options)``."""

    def make(name: str, frames: int, fps: str, *options: str) -> str:
        path = media_dir / name
        if not path.exists():
            bits = np.arange(frames)[:, None] >> np.arange(CODE_BITS) & 1
            row = np.repeat(bits.astype(np.uint8) * 255, 8, axis=1)
            pixels = np.repeat(row[:, None, :], CODE_HEIGHT, axis=1)
            raw = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{CODE_WIDTH}x{CODE_HEIGHT}", "-r", fps, "-i", "-")
            run_ffmpeg(*raw, *(options or H264), str(path), stdin=pixels.tobytes())
        return str(path)

    return make


@pytest.fixture(scope="session")
def frame_numbers() -> Callable[[np.ndarray], np.ndarray]:
    """Read the numbers back: ``[frames, height, width]`` or ``[frames, height, width, 3]`` to ``[frames]``."""

    def read(pixels: np.ndarray) -> np.ndarray:
        grey = pixels if pixels.ndim == 3 else pixels[..., 1]
        return ((grey[:, CODE_HEIGHT // 2, 4::8] > 128) * (1 << np.arange(CODE_BITS))).sum(axis=1)

    return read


@pytest.fixture(scope="session")
def dumped_numbers(frame_numbers) -> Callable[..., np.ndarray]:
    """Numbers of the frames that ffmpeg itself puts out. ``(path, *output options)``."""

    def dump(path: str, *options: str) -> np.ndarray:
        raw = run_ffmpeg("-i", path, *options, "-f", "rawvideo", "-pix_fmt", "gray", "-")
        return frame_numbers(np.frombuffer(raw, np.uint8).reshape(-1, CODE_HEIGHT, CODE_WIDTH))

    return dump


@pytest.fixture(scope="session")
def bars(media_dir) -> Callable[..., str]:
    """Make a video of coloured bars with a red stripe on top. ``(name, *output options)``."""

    def make(name: str, *options: str, seconds: float = 1.2) -> str:
        path = media_dir / name
        if not path.exists():
            picture = bars_picture()
            size = f"{picture.shape[1]}x{picture.shape[0]}"
            raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "20", "-i", "-")
            run_ffmpeg(*raw, *options, str(path), stdin=picture.tobytes() * round(seconds * 20))
        return str(path)

    return make


def bars_picture() -> np.ndarray:
    picture = np.repeat(np.repeat(BARS[None].astype(np.uint8), 96, axis=0), 16, axis=1)
    picture[:16] = (200, 30, 30)
    picture[:, :4] = (10, 10, 10)
    return picture


@pytest.fixture(scope="session")
def bars_rgb() -> np.ndarray:
    return bars_picture()


@pytest.fixture(scope="session")
def clip(media_dir) -> Callable[..., str]:
    """Make a clip of test picture and tone. ``(name, seconds, *output options)``; names may have any characters."""

    def make(name: str, seconds: float, *options: str, size: str = "128x64", rate: int = 44100) -> str:
        path = media_dir / name
        if not path.exists():
            picture = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d={seconds}")
            tone = ("-f", "lavfi", "-i", f"sine=f=440:r={rate}:d={seconds}")
            audio = () if "-c:a" in options or "-an" in options else ("-c:a", "aac")
            run_ffmpeg(*picture, *tone, "-c:v", "libx264", "-pix_fmt", "yuv420p", *audio, *options, f"file:{path}")
        return str(path)

    return make
