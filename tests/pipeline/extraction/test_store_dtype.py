"""Features stored in half the space."""

import numpy as np
import pytest

from pipeline.extraction.extract import extract
from pipeline.extraction.options import ExtractOptions
from storage.clips import ClipTable
from storage.errors import SchemaMismatch
from storage.store import FeatureStore


def run(clips, url, seed=1, **options):
    chosen = {"clip_seconds": 2, "shard_size": 3, "workers": 1, "engine": "torch"} | options
    extract(ClipTable.load(clips), str(url), ExtractOptions(("toy_visual", "toy_audio"), (f"random:{seed}",), **chosen))
    return FeatureStore.open(url)


def test_numbers_are_those_of_float32_cast_once(toys, six_clips, tmp_path):
    whole, half = (run(six_clips, tmp_path / f"{dtype}.zarr", store_dtype=dtype) for dtype in ("float32", "float16"))
    for name in ("toy_visual", "toy_audio"):
        assert half.read(name).dtype == np.float16
        assert half.read(name).tobytes() == whole.read(name).astype(np.float16).tobytes()


def test_an_array_keeps_its_dtype(toys, six_clips, tmp_path):
    url = tmp_path / "s.zarr"
    run(six_clips, url, store_dtype="float16")
    assert run(six_clips, url, retry_failed=True).spec("toy_audio").dtype == "float16"
    with pytest.raises(SchemaMismatch, match="dtype 'float16', asked for 'float32'"):
        run(six_clips, url, store_dtype="float32")
    assert run(six_clips, url, store_dtype="float32", rebuild=True).spec("toy_audio").dtype == "float32"


def test_values_that_do_not_fit_are_told_and_not_stored(toys, six_clips, tmp_path):
    store = run(six_clips, tmp_path / "s.zarr", seed=70_000, store_dtype="float16")
    rows = store.ledger("toy_visual").read(0, 1).rows
    assert {row.status for row in rows} == {"extractor_error"}
    assert "is more than float16 holds (65504). Add --store-dtype float32" in rows[0].reason
    assert np.isnan(store.read("toy_visual")).all()
