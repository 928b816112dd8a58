"""Small real clips made by ffmpeg, toy backbones, a toy dataset, and the command line with its exit code."""

import importlib.util
import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from media_fixtures import bars, bars_rgb, clip, dumped_numbers, ffmpeg, frame_numbers, media_dir, numbered

from extractors.registry import BACKBONES
from pipeline.cli.main import main
from pipeline.datasets.dataset_description import load_description
from storage.clips import Clip, ClipTable
from storage.labels import LabelStore
from storage.layout.label_schema import LabelEmbeddings, LabelProvenance, LabelSpec
from storage.ledger import Row
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore
from storage.writer import claim, commit_features

__all__ = ["bars", "bars_rgb", "clip", "dumped_numbers", "ffmpeg", "frame_numbers", "media_dir", "numbered"]
"""Fixtures of another file."""

DATA = Path(__file__).resolve().parents[1] / "data"
COLOURS = ("red", "green", "blue", "white", "yellow", "purple")


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
    for kind in ("Visual", "Audio", "Fragile", "Sticky", "Buggy"):
        monkeypatch.setitem(BACKBONES, f"toy_{kind.lower()}", f"toy_backbones:Toy{kind}")


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


# A small dataset: four clips, three classes, five segments of two seconds.
DESCRIPTION = """\
name = "toy"
clip_seconds = 10
segments = 5
classes = ["Dog", "Cat", "Rain"]
[weak_files]
train = "train.csv"
test = "test.csv"
[dense_files]
audio = "audio.csv"
visual = "visual.csv"
splits = ["test"]
[revisions]
"first" = ["old name"]
"""
FILES = {
    "train.csv": "filename\tevent_labels\nt1\tDog\nt2\tCat,Rain\n",
    "test.csv": "filename\tevent_labels\ne1\tDog,Rain\ne2\tCat\n",
    "audio.csv": "filename\tonset\toffset\tevent_labels\ne1\t0\t4\tDog\ne1\t8\t10\tRain\n",
    "visual.csv": "filename\tonset\toffset\tevent_labels\ne1\t2\t6\tDog\ne2\t0\t10\tCat\n",
}


@pytest.fixture
def toy(tmp_path):
    """The description."""
    (tmp_path / "toy.toml").write_text(DESCRIPTION)
    return load_description(tmp_path / "toy.toml")


@pytest.fixture
def toy_files(tmp_path):
    """Write its label files, some of them changed; gives the folder."""

    def write(**changed):
        folder = tmp_path / "annotations"
        folder.mkdir(exist_ok=True)
        for name, text in FILES.items():
            (folder / name).write_text(changed.get(name.removesuffix(".csv"), text))
        return folder

    return write


@pytest.fixture
def toy_store(tmp_path):
    """A store of the toy dataset's clips with features and label embeddings whose cosines are easy to see.

    Both networks have three dimensions, one a class: a segment's features are its cosines. Logit scales are 10 (audio)
    and 100 (visual). Gives a function of ``audio`` and ``visual``, ``[clips, 5, 3]``; clips are t1, t2, e1, e2.
    """

    def make(audio, visual, *, labels=("Dog", "Cat;Rain", "Dog;Rain", "Cat"), weights="random:0", name="toy.zarr"):
        ids = ("t1", "t2", "e1", "e2")[: len(labels)]
        clips = [
            Clip(id_, f"/m/{id_}.mp4", labels=tuple(tags.split(";")) if tags else ())
            for id_, tags in zip(ids, labels, strict=True)
        ]
        url = str(tmp_path / name)
        store = FeatureStore.create(url, ClipTable(clips, dataset="toy"), shard_size=len(clips))
        for array, modality, values in (("clap", "audio", audio), ("clip_vit_l14", "visual", visual)):
            spec = FeatureSpec(array, 5, 3, modality, 2.0)
            store.ensure_feature(spec, Provenance(array, "1", weights, {}, "uniform"))
            valid = np.isfinite(values).all(axis=2)
            rows = [
                Row(id_, "ok", stored=True) if here.any() else Row(id_, "missing", "no such file")
                for id_, here in zip(ids, valid, strict=True)
            ]
            with claim(store, [array], 0):
                commit_features(store, array, 0, values=values.astype(np.float32), valid=valid, rows=rows)
        for group, scale in (("clap", 10.0), ("clip", 100.0)):
            origin = LabelProvenance(group, "1", "random:0", logit_scale=scale)
            prompts = (("dog",), ("cat",), ("rain",))
            vectors = LabelEmbeddings(LabelSpec(group, "toy", 3), origin, ("Dog", "Cat", "Rain"), prompts, np.eye(3))
            LabelStore.open(url).write_embeddings(vectors)
        return url

    return make


@pytest.fixture(scope="session")
def reference(shared_dir):
    """The folder with rule.py, oracles and state dicts."""
    folder = shared_dir / "reference"
    if not (folder / "rule.py").is_file():
        pytest.skip(f"no reference at {folder}")
    return folder


@pytest.fixture(scope="session")
def rule(reference):
    """The module that draws the oracles' weights and inputs."""
    spec = importlib.util.spec_from_file_location("avvp_reference_rule", reference / "rule.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published(reference):
    """A function: a published state dict's json by name."""

    def load(name):
        return json.loads((reference / "state_dicts" / f"{name}.json").read_text())

    return load


@pytest.fixture(scope="session")
def random_state():
    """A function: seeded random tensors for names and shapes, the same whatever else is drawn."""

    import torch

    def make(shapes, seed=0):
        state = {}
        for name, shape in shapes.items():
            draw = np.random.default_rng([zlib.crc32(name.encode()), seed]).uniform(-1, 1, shape)
            fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 0
            is_norm = len(shape) == 1 and name.endswith("weight")
            scaled = draw * np.sqrt(3 / fan_in) if fan_in else (1 + 0.1 * draw if is_norm else 0.1 * draw)
            state[name] = torch.from_numpy(scaled).float()
        return state

    return make
