"""The plain way: what the published AVVP scripts do, one backbone after the other, one clip a batch.

Frames are dumped as JPEGs by ``ffmpeg -r 8``, read with Pillow, transformed one by one; sound is dumped as wav;
networks are eager torch in NCHW. Prints one JSON line. Run by run.py in a process of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from extractors import registry
from extractors.engines.runtime import skipped_initialisation
from extractors.weights.loading import fill_random
from pipeline.decode.ffmpeg_binary import ffmpeg_path

SEED = 0


def dump_frames(clip: str, folder: Path) -> list[Path]:
    import subprocess

    command = [ffmpeg_path(), "-loglevel", "error", "-y", "-i", clip, "-r", "8", f"{folder}/%06d.jpg"]
    subprocess.run(command, check=True)
    return sorted(folder.glob("*.jpg"))


def dump_wav(clip: str, target: Path, rate: int) -> None:
    import subprocess

    command = [ffmpeg_path(), "-loglevel", "error", "-y", "-i", clip, "-vn", "-ac", "1", "-ar", str(rate), str(target)]
    subprocess.run(command, check=True)


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16) / 32768.0


def picked(files: list[Path], count: int) -> list[Image.Image]:
    chosen = np.round(np.linspace(0, len(files) - 1, count)).astype(int)
    return [Image.open(files[index]).convert("RGB") for index in chosen]


class Plain:
    """One backbone; ``network`` is torchvision's or open_clip's own, as they build it."""

    def __init__(self, name: str) -> None:
        from torchvision import transforms as t

        self.name = name
        kind = {"resnet152": self._resnet, "r2plus1d_18": self._r2plus1d, "clip_vit_l14": self._clip}.get(name)
        self.extractor = None
        if kind:
            with skipped_initialisation():
                self.network = kind(t)
            fill_random(self.network, SEED)
            self.network.eval()
        else:
            self.extractor = registry.load(name, weights=f"random:{SEED}", engine="torch")

    def _resnet(self, t):
        from torchvision.models import resnet152

        norm = t.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        self.transform = t.Compose([t.Resize(256), t.CenterCrop(224), t.ToTensor(), norm])
        return resnet152()

    def _r2plus1d(self, t):
        from torchvision.models.video import r2plus1d_18

        norm = t.Normalize([0.43216, 0.394666, 0.37645], [0.22803, 0.22145, 0.216989])
        self.transform = t.Compose([t.Resize((112, 112)), t.ToTensor(), norm])
        return r2plus1d_18()

    def _clip(self, t):
        import open_clip

        norm = t.Normalize([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
        self.transform = t.Compose([t.ToTensor(), t.Resize((224, 224), antialias=False), norm])
        return open_clip.create_model("ViT-L-14-quickgelu").visual

    @torch.no_grad()
    def run(self, clip: str, work: Path) -> np.ndarray:
        if self.extractor is not None:
            return self._run_audio(clip, work)
        files = dump_frames(clip, work)
        images = torch.stack([self.transform(image) for image in picked(files, 10 if "clip" in self.name else 80)])
        if self.name == "r2plus1d_18":
            return self._headless(images.view(10, 8, 3, 112, 112).transpose(1, 2).contiguous())
        if self.name == "resnet152":
            return self._headless(images)
        return torch.nn.functional.normalize(self.network(images), dim=-1).numpy()

    def _headless(self, batch):
        self.network.fc = torch.nn.Identity()
        return self.network(batch).numpy()

    @torch.no_grad()
    def run_on_our_frames(self, clip: str) -> np.ndarray:
        """The plain network on frames that are decoded without JPEGs in between, resized as the script does."""
        from extractors.views import FrameView
        from pipeline.decode.clip import decode_here
        from pipeline.decode.clip_buffer import DecodeRequest

        view = FrameView(8, 224, "crop", short_side=256)
        request = DecodeRequest("clip", clip, frame_views=(view,))
        frames = decode_here(request).frames[view]
        to_network = self.transform.transforms[2:]  # the view has done the resize and the crop
        images = [Image.fromarray(image) for image in frames.pixels]
        for step in to_network:
            images = [step(image) for image in images]
        return self._headless(torch.stack(images))

    def _run_audio(self, clip: str, work: Path) -> np.ndarray:
        """The networks that the scripts use, a second at a time, from a wav file."""
        from extractors.base import Waveform

        rate = self.extractor.view.sample_rate_hz
        dump_wav(clip, work / "sound.wav", rate)
        samples = np.zeros(10 * rate, dtype=np.float32)
        read = read_wav(work / "sound.wav")[: 10 * rate]
        samples[: len(read)] = read
        units = self.extractor.units(Waveform(samples, rate, len(read)))
        return np.concatenate([self.extractor.forward(torch.from_numpy(unit[None]))[0].numpy() for unit in units.data])


def main() -> None:
    request = json.loads(sys.argv[1])
    seconds, features = {}, {}
    for name in request["backbones"]:
        plain = Plain(name)
        times = []
        for clip in request["clips"]:
            with tempfile.TemporaryDirectory() as work:
                began = time.perf_counter()
                found = plain.run(clip, Path(work))
                np.save(Path(work) / "features.npy", found)
                times.append(time.perf_counter() - began)
        if request.get("save"):
            for clip in request["clips"]:
                features[f"same_frames/{name}/{Path(clip).stem}"] = plain.run_on_our_frames(clip)
        seconds[name] = times
        del plain
    if request.get("save"):
        np.savez(request["save"], **features)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
