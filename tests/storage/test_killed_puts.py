"""Every put of a store's life as the last one of its process: the next process makes the store whole."""

import warnings

import numpy as np
import pytest
import toy_store as toy
import zarr

from pipeline.exchange.verify import verify
from storage.files.local import LocalRoot
from storage.store import FeatureStore

SPEC = toy.SPECS[1]


class Killed(BaseException):
    """What no code of ours catches."""


def life(url):
    """Create a store, an array and an intermediate, and commit the rows."""
    store = FeatureStore.open_or_create(url, toy.table(2), shard_size=2)
    store.ensure_feature(SPEC, toy.origin(SPEC.name))
    toy.fill(store, SPEC)
    toy.keep(store)


@pytest.mark.slow
def test_killed_at_every_put(tmp_path, monkeypatch):
    put, puts = LocalRoot.put, 0

    def counted(self, key, data, **how):
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        put(self, key, data, **how)

    while True:
        url, left = str(tmp_path / f"{puts}.zarr"), puts
        monkeypatch.setattr(LocalRoot, "put", counted)
        try:
            life(url)
            break
        except Killed:
            monkeypatch.setattr(LocalRoot, "put", put)
        life(url)
        assert verify(url, deep=True).problems == [], f"killed at put {puts}"
        store = FeatureStore.open(url)
        np.testing.assert_array_equal(store.read(SPEC.name), [toy.values_of(name, SPEC) for name in store.ids])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "features/ear/values" in dict(zarr.open_group(url, mode="r").members(max_depth=None))
        puts += 1
    assert puts > 15
