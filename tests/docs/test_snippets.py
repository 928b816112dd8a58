"""The Python of README and docs is run as it stands, so that it stays true.

A block that needs what is not at hand is marked by a line before it, ``<!-- not run: why -->``; it must be Python all
the same.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from media_fixtures import run_ffmpeg
from torch import nn

from extractors.weights.loading import resolve
from pipeline.synthetic.features import write_features, write_shards
from storage.clips import Clip, ClipTable
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?P<mark><!-- not run: [^>]+ -->\n)?^```python\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
PARTS_OF_FILES = ("class EfficientNetLite0(", "# extractors/registry.py")
"""How blocks begin that show a part of a file."""


@dataclass(frozen=True)
class Snippet:
    document: str
    line: int
    code: str
    runs: bool


def snippets(path):
    text = path.read_text(encoding="utf-8")
    return [
        Snippet(
            path.name,
            text.count("\n", 0, match.start("code")),
            match["code"],
            match["mark"] is None and not match["code"].startswith(PARTS_OF_FILES),
        )
        for match in BLOCK.finditer(text)
    ]


WITH_PYTHON = [path for path in DOCUMENTS if snippets(path)]


def make_clip(path, colour, *, seconds=2):
    inputs = [
        "-f",
        "lavfi",
        "-i",
        f"color={colour}:s=96x64:r=10:d={seconds}",
        "-f",
        "lavfi",
        "-i",
        f"sine=440:r=44100:d={seconds}",
    ]
    path.parent.mkdir(exist_ok=True)
    run_ffmpeg(*inputs, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", f"file:{path}")


@pytest.fixture
def readme_folder(tmp_path, monkeypatch):
    """Short clips. Weights that would be downloaded are random, and a large network is a small one."""

    def resolve_here(text, source):
        return resolve(text if source.package else "random:0", source)

    def small(_self):
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2048))

    monkeypatch.setattr("extractors.weights.several.resolve", resolve_here)
    monkeypatch.setattr("extractors.visual.resnet152.ResNet152.build", small)
    monkeypatch.setattr("extractors.visual.resnet152.ResNet152.finish", lambda _self, network: network)
    make_clip(tmp_path / "clip.mp4", "red")
    for number in range(5):
        make_clip(tmp_path / "videos" / f"{number}.mp4", "blue", seconds=1)
    return tmp_path


@pytest.fixture
def docs_folder(tmp_path):
    """Two clips, made-up features of more, and a small store."""
    make_clip(tmp_path / "clips" / "dog.mp4", "red")
    make_clip(tmp_path / "clips" / "rain.mp4", "blue")
    write_features(tmp_path / "toy", count=24, seed=1)
    store = FeatureStore.create(tmp_path / "llp.zarr", ClipTable([Clip("a", "/m/a.mp4")]))
    store.ensure_feature(FeatureSpec("resnet152", 80, 16, "visual", 0.125), Provenance("x", "1", "random:0", {}, ""))
    write_shards(store, "resnet152", lambda rows: np.ones((len(rows), 80, 16), np.float32))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_PYTHON, ids=lambda path: path.name)
def test_snippets_run(path, request, monkeypatch):
    """In order, in one namespace: a reader would paste them so."""
    chosen = [snippet for snippet in snippets(path) if snippet.runs]
    folder = request.getfixturevalue("readme_folder" if path.name == "README.md" else "docs_folder")
    monkeypatch.chdir(folder)
    namespace = {"__name__": "__main__"}
    for snippet in chosen:
        code = "\n" * snippet.line + snippet.code  # so that a traceback has the document's line
        exec(compile(code, str(path), "exec"), namespace)


@pytest.mark.parametrize("path", WITH_PYTHON, ids=lambda path: path.name)
def test_snippets_that_are_not_run_are_python(path):
    for snippet in snippets(path):
        if not snippet.code.startswith("# extractors/registry.py"):
            ast.parse(snippet.code)


def test_the_registry_is_shown_as_it_is():
    registry = (ROOT / "extractors" / "registry.py").read_text()
    for snippet in (snippet for path in WITH_PYTHON for snippet in snippets(path)):
        if snippet.code.startswith("# extractors/registry.py"):
            assert snippet.code.splitlines()[1] in registry


def test_marks_are_seen(tmp_path):
    text = "<!-- not run: no data -->\n```python\na = 1\n```\n\n```python\nb = 2\n```\n"
    (tmp_path / "t.md").write_text(text)
    assert [(snippet.code, snippet.runs) for snippet in snippets(tmp_path / "t.md")] == [
        ("a = 1\n", False),
        ("b = 2\n", True),
    ]
    assert {path.name for path in WITH_PYTHON} >= {"README.md", "python.md"}
