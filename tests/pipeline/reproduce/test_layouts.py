"""From a folder as labs have it to a table: import, then reproduce."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.datasets.llp import load_annotations

SMALL = ["model.width=16", "train.epochs=1", "train.batch_size=16"]
SHAPES = {
    "avvp-eccv20": {"vggish": (10, 128), "res152": (80, 2048), "r2plus1d_18": (10, 512)},
    "clip-clap-r2plus1d": {"CLIP/features": (10, 768), "CLAP/features": (64, 768), "r2plus1d_18": (10, 512)},
    "lsld": {"CLIP": (80, 512), "CLAP": (10, 512)},
}
"""Folders of a layout and what a file in them holds."""

LSLD = [
    "features.audio=clap_630k-audioset-best",
    "features.visual_2d=clip_ViT-B-16_openai_8fps",
    "features.visual_3d=mine",
]
ROWS = {"avvp-eccv20": ("han", SMALL), "clip-clap-r2plus1d": ("valor-plusplus", [*SMALL, "model.encoder.layers=1"]),
        "lsld": ("han", [*SMALL, *LSLD])}  # fmt: skip


@pytest.fixture
def labels(made, tmp_path):
    """Label files of a few clips: importing writes a file a clip."""
    source, target = made / "annotations", tmp_path / "annotations"
    target.mkdir()
    for path in source.iterdir():
        target.joinpath(path.name).write_bytes(path.read_bytes())
    return target


def avvp(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def fill(folder, stems, shapes):
    """Files of the published shapes."""
    draw = np.random.default_rng(0)
    for name, shape in shapes.items():
        place = folder / name
        place.mkdir(parents=True)
        for stem in stems:
            np.save(place / f"{stem}.npy", draw.random(shape, dtype=np.float32))


def table(path, recipe, changes, *, kind, column):
    path.write_text(
        f'title = "x"\npaper = "x"\nkind = "{kind}"\ncolumns = ["{column}"]\n[[rows]]\nname = "x"\n'
        f'recipe = "{recipe}"\nset = {json.dumps(changes)}\n'
    )
    return path


@pytest.mark.parametrize("layout", SHAPES)
def test_from_a_published_folder_to_a_table(layout, labels, tmp_path):
    stems = [name[:11] for name in load_annotations(labels).ids]
    folder, store = tmp_path / "published", tmp_path / "s.zarr"
    fill(folder, stems, SHAPES[layout])
    assert avvp("import", store, folder, "--layout", layout, "--clips", labels) == 0
    if layout == "lsld":
        fill(folder, stems, {"mine": (10, 512)})
        assert avvp("import", store, folder, "--layout", "mine=mine/{id}.npy:10x512:visual:1s", "--clips", labels) == 0
    if layout == "clip-clap-r2plus1d":
        for teacher in ("CLAP", "CLIP"):
            place = folder / teacher / "segment_pseudo_labels"
            place.mkdir()
            for number, stem in enumerate(stems):
                np.save(place / f"{stem}.npy", np.eye(10, 25, k=number % 15, dtype=np.int64))
        assert avvp("pseudo-labels", "--store", store, "--import", folder) == 0
    recipe, changes = ROWS[layout]
    item = table(tmp_path / "t.toml", recipe, changes, kind="parsing", column="seg_type")
    assert avvp("reproduce", item, "--store", store, "--annotations", labels, "--out", tmp_path / "out") == 0
    (row,) = json.loads((tmp_path / "out/t.json").read_text())["rows"]
    assert 0 <= row["ours"][0]["seg_type"] <= 100


def test_from_aves_published_files_to_a_table(tmp_path):
    pytest.importorskip("h5py")
    script = Path(__file__).resolve().parents[2] / "data" / "ave_hdf5.py"
    subprocess.run([sys.executable, str(script), str(tmp_path / "h5")], check=True)
    store, labels = tmp_path / "s.zarr", tmp_path / "labels"
    assert avvp("import", store, tmp_path / "h5", "--layout", "ave-eccv18", "--annotations", labels) == 0
    item = table(tmp_path / "t.toml", "avel-psp", ["train.epochs=1"], kind="localization", column="accuracy")
    assert avvp("reproduce", item, "--store", store, "--annotations", labels, "--out", tmp_path / "out") == 0
    (row,) = json.loads((tmp_path / "out/t.json").read_text())["rows"]
    assert 0 <= row["ours"][0]["accuracy"] <= 100
