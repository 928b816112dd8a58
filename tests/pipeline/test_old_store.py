"""A store that commit e1e10ef made (tests/data/stores), in the hands of today's code."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr

from storage.labels import LabelStore
from storage.schema import Status
from storage.store import FeatureStore

ARCHIVE = Path(__file__).resolve().parents[1] / "data/stores/store_e1e10ef.zip"
BACKBONE = "efficientnet_lite0"


@pytest.fixture
def old(tmp_path):
    """The folder with ``old.zarr``, ``clips`` and ``table.csv``; the paths in the store lead nowhere any more."""
    with zipfile.ZipFile(ARCHIVE) as packed:
        packed.extractall(tmp_path)
    return tmp_path


@pytest.fixture
def extract(avvp, old):
    """Extract from the clips beside the store, by the table that it was made with."""

    def run(*backbones, store="old.zarr"):
        chosen = [word for name in backbones for word in ("--backbone", name)]
        chosen += ["--weights", "toy_audio=random:3"] if "toy_audio" in backbones else []
        return avvp(
            "extract", "--clips", old / "table.csv", "--media", old / "clips", "--store", old / store, *chosen,
            "--clip-seconds", "2", "--device", "cpu", "--engine", "torch",
        )  # fmt: skip

    return run


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_read(old):
    store = FeatureStore.open(old / "old.zarr")
    assert (store.ids, store.clips[1].labels, store.features) == (["one", "two"], ("Cat", "Dog"), (BACKBONE,))
    values = store.read(BACKBONE)
    assert values.shape == (2, 16, 1280)
    assert np.isfinite(values).all()
    assert store.valid(BACKBONE).all()
    assert store.status(BACKBONE).tolist() == [Status.OK] * 2
    metadata = json.loads((old / f"old.zarr/features/{BACKBONE}/values/zarr.json").read_text())
    chain = metadata["codecs"][0]["configuration"]["codecs"]
    assert [codec["name"] for codec in chain] == ["bytes", "blosc", "crc32c"]
    np.testing.assert_array_equal(zarr.open_array(str(old / "old.zarr"), path=f"features/{BACKBONE}/values")[:], values)
    labels = LabelStore.open(store.url).read_embeddings("glove")
    assert labels.vectors.shape == (25, 300)
    assert labels.provenance.weights == "random:0"


def test_verify_status_and_inspect_take_it(avvp, old):
    store = old / "old.zarr"
    for arguments in (("verify", store, "--deep"), ("inspect", store), ("inspect", store, "--clip", "two")):
        code, out, err = avvp(*arguments)
        assert code == 0, out + err
    code, out, _ = avvp("status", store, "--json")
    assert code == 0
    assert BACKBONE in out


def test_the_same_extraction_has_nothing_to_do(extract, old):
    before = contents(old / "old.zarr")
    code, out, err = extract(BACKBONE)
    assert code == 0, out + err
    after = contents(old / "old.zarr")
    assert set(after) - set(before) == {"ledger/zarr.json"}
    assert {key: after[key] for key in before} == before


def test_another_backbone_extends_it(avvp, extract, old):
    before = contents(old / "old.zarr")
    code, out, err = extract(BACKBONE, "toy_audio")
    assert code == 0, out + err
    after = contents(old / "old.zarr")
    assert {key: after[key] for key in before} == before
    store = FeatureStore.open(old / "old.zarr")
    assert store.features == (BACKBONE, "toy_audio")
    assert store.valid("toy_audio").any(axis=1).all()
    code, out, err = avvp("verify", store.url, "--deep")
    assert code == 0, out + err


@pytest.mark.slow
def test_today_s_code_gives_the_same_numbers(extract, old):
    code, out, err = extract(BACKBONE, store="new.zarr")
    assert code == 0, out + err
    before, now = (FeatureStore.open(old / name).read(BACKBONE) for name in ("old.zarr", "new.zarr"))
    assert np.abs(now - before).max() <= 1e-5 * np.abs(before).max()
