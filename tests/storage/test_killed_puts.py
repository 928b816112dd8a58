"""Every put of a store's life as the last one of its process: the next process makes the store whole."""

import warnings

import numpy as np
import pytest
import toy_store as toy
import zarr
from killed_puts import Killed, dying_after

from pipeline.exchange.verify import verify
from storage.store import FeatureStore

SPEC = toy.SPECS[1]


def life(url):
    """Create a store, an array and an intermediate, and commit the rows."""
    store = FeatureStore.open_or_create(url, toy.table(2), shard_size=2)
    store.ensure_feature(SPEC, toy.origin(SPEC.name))
    toy.fill(store, SPEC)
    toy.keep(store)


@pytest.mark.slow
def test_killed_at_every_put(tmp_path, monkeypatch):
    puts = 0
    while True:
        url = str(tmp_path / f"{puts}.zarr")
        try:
            with dying_after(monkeypatch, puts):
                life(url)
            break
        except Killed:
            pass
        life(url)
        assert verify(url, deep=True).problems == [], f"killed at put {puts}"
        store = FeatureStore.open(url)
        np.testing.assert_array_equal(store.read(SPEC.name), [toy.values_of(name, SPEC) for name in store.ids])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "features/ear/values" in dict(zarr.open_group(url, mode="r").members(max_depth=None))
        puts += 1
    assert puts > 15
