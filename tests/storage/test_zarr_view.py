"""A store as zarr-python and xarray see it: a hierarchy without strangers, arrays with named axes."""

import json
import warnings

import numpy as np
import pytest
import toy_store as toy
import xarray
import zarr

from pipeline.exchange.repair import restore_metadata
from pipeline.exchange.verify import verify
from pipeline.extraction.preview import preview_specs
from storage.files.opening import open_root
from storage.labels import LabelStore
from storage.layout.arrays import fixed_metadata
from storage.layout.decoded import DecodedSpec
from storage.layout.label_schema import LabelEmbeddings, LabelProvenance, LabelSpec, PseudoLabels
from storage.store import FeatureStore
from storage.writer import claim

CLASSES = ("Dog", "Cat")
CLIPS = 10
KEPT = (
    DecodedSpec("frames", (4, 8, 8, 3), "uint8", {"size": ((4, 2), "int32"), "valid": ((4,), "bool")}),
    DecodedSpec("waveform_16000", (160,), "float32", {"samples": ((), "int32")}),
    DecodedSpec("waveform_48000", (480,), "float32", {"samples": ((), "int32")}),
    DecodedSpec("logmel", (2, 96, 64), "float32", {"valid": ((2,), "bool")}),
    *preview_specs(clip_seconds=3, sampling="uniform"),
)


def with_labels(url):
    labels, origin = LabelStore.open(url), LabelProvenance("m", "1")
    prompts = (("a dog", "dogs"), ("a cat", "cats"))
    labels.write_embeddings(
        LabelEmbeddings(LabelSpec("glove", "toy", 3), origin, CLASSES, prompts, np.ones((2, 3), np.float32))
    )
    said = np.ones((CLIPS, 4, 2), np.uint8)
    logits, known = said.astype(np.float32), np.ones(CLIPS, bool)
    labels.write_pseudo_labels(PseudoLabels("valor", origin, CLASSES, said, said, known, logits, logits))


@pytest.fixture
def store(tmp_path):
    made = toy.make(tmp_path / "s.zarr", kept=False)
    for spec in KEPT:
        made.ensure_decoded(spec)
    with_labels(made.url)
    return made


def members(url):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        group = zarr.open_group(url, mode="r")
        group.tree()
        found = dict(group.members(max_depth=None))
    assert [str(warning.message) for warning in said] == []
    return found


def test_zarr_finds_our_nodes_and_nothing_else(store):
    with claim(store, ["net"], 1):
        store.ledger("net").announce(1, 2)
        found = members(store.url)
    assert {"features/net/values", "clips/id", "labels/glove/prompts", "pseudo_labels/valor/audio_logits"} <= set(found)
    assert [path for path in found if path.startswith("ledger")] == ["ledger"]
    assert found["ledger"].shape == (0,)
    assert "docs/store.md" in found["ledger"].attrs["avvp"]["about"]


def test_every_array_names_its_axes(store):
    named = {
        path: array.metadata.dimension_names for path, array in members(store.url).items() if hasattr(array, "shape")
    }
    assert all(names and None not in names for names in named.values()), named
    assert named["features/net/values"] == ("clips", "steps", "dim")
    assert named["features/net/valid"] == ("clips", "steps")
    assert named["features/net/status"] == named["clips/id"] == named["clips/end_seconds"] == ("clips",)
    assert named["decoded/frames"] == ("clips", "frames", "height", "width", "channels")
    assert named["decoded/thumbnails"] == ("clips", "seconds", "thumbnail_height", "thumbnail_width", "channels")
    assert named["decoded/envelope"] == ("clips", "steps_50ms", "low_high")
    assert named["decoded/envelope_steps"] == ("clips",)
    assert named["decoded/waveform_16000"] == ("clips", "samples_16000")
    assert named["decoded/waveform_16000_samples"] == named["pseudo_labels/valor/known"] == ("clips",)
    assert named["labels/glove/vectors"] == ("classes", "dim")
    assert named["pseudo_labels/valor/audio"] == ("clips", "segments", "classes")


def test_an_array_of_other_axes_has_names_for_the_clips_only():
    assert DecodedSpec("frames", (2, 3), "uint8").axes() == (None, None)
    assert DecodedSpec("depth", (2,), "uint8", {"valid": ((), "bool")}).axes("valid") == ()


def test_xarray_opens_every_group(store):
    features = xarray.open_zarr(store.url, group="features/net", consolidated=False)
    assert dict(features.sizes) == {"clips": CLIPS, "steps": 6, "dim": 32}
    assert set(features) == {"values", "valid", "status"}
    np.testing.assert_array_equal(features["values"].values, store.read("net"))
    np.testing.assert_array_equal(features["valid"].isel(clips=3).values, store.valid("net", [3])[0])
    clips = xarray.open_zarr(store.url, group="clips", consolidated=False)
    assert clips["id"].values.tolist() == store.ids
    tree = xarray.open_datatree(store.url, engine="zarr", consolidated=False, chunks=None)
    assert dict(tree["pseudo_labels/valor"].to_dataset(inherit=False).sizes) == {
        "clips": CLIPS,
        "segments": 4,
        "classes": 2,
    }
    assert tree["labels/glove"].coords["classes"].values.tolist() == list(CLASSES)
    assert set(tree["decoded"].sizes) >= {
        "frames",
        "samples_16000",
        "samples_48000",
        "segments",
        "seconds",
        "steps_50ms",
    }


def as_before(folder):
    """The store as releases up to 0.1 made it: no names of axes, no node in the ledger."""
    (folder / "ledger/zarr.json").unlink()
    for file in folder.rglob("zarr.json"):
        body = json.loads(file.read_text())
        if body.pop("dimension_names", None):
            file.write_text(json.dumps(body))
    problems = verify(str(folder)).problems
    for problem in problems:  # what was sealed is metadata with names
        file = folder / "ledger" / ("" if problem.where == "store" else problem.where) / "seal.json"
        file.unlink(missing_ok=True)
    restore_metadata(str(folder), verify(str(folder)).problems)


def test_an_older_store_is_read_checked_and_extended(tmp_path):
    url, (old, new) = tmp_path / "s.zarr", toy.SPECS
    toy.make(url, specs=(old,))
    before = FeatureStore.open(url).read(old.name)
    as_before(url)
    assert verify(str(url), deep=True).problems == []
    np.testing.assert_array_equal(FeatureStore.open(url).read(old.name), before)
    again = FeatureStore.open_or_create(url, toy.table(), shard_size=toy.SHARD)
    again.ensure_feature(old, toy.origin(old.name))
    again.ensure_feature(new, toy.origin(new.name))
    toy.fill(again, old, failed=())
    toy.fill(again, new)
    assert verify(str(url), deep=True).problems == []
    assert verify(str(url)).notes == []
    found = members(str(url))
    assert found[f"features/{old.name}/values"].metadata.dimension_names is None
    assert found[f"features/{new.name}/values"].metadata.dimension_names == ("clips", "steps", "dim")


@pytest.mark.parametrize("place", ["folder", "memory"])
def test_a_lock_left_by_a_killed_creation_is_removed(tmp_path, place):
    url = str(tmp_path / "s.zarr") if place == "folder" else f"memory://{tmp_path.name}/s.zarr"
    toy.make(url, kept=False)
    root = open_root(url)
    dead = {"token": "x", "beat": 1, "process": {"machine": "", "pid": 1, "started": "1"}}
    left = "create.lock" if place == "folder" else "create.lock.000001"
    root.put(left, json.dumps(dead).encode())
    FeatureStore.open_or_create(url, toy.table(), shard_size=toy.SHARD)
    assert (left in root.names("")) == (place == "memory"), "a lease of who knows whom runs out first"


def test_a_damaged_ledger_node_is_found_and_put_back(tmp_path):
    url = str(tmp_path / "s.zarr")
    toy.make(url)
    (tmp_path / "s.zarr/ledger/zarr.json").write_bytes(b"{}")
    problems = verify(url).problems
    assert [(problem.file, problem.remedy) for problem in problems] == [("ledger/zarr.json", "restore")]
    restore_metadata(url, problems)
    assert verify(url).problems == []
    assert (tmp_path / "s.zarr/ledger/zarr.json").read_bytes() == fixed_metadata()["ledger/zarr.json"]
