"""A disk that fills up while features are extracted: one line; when there is room, the same command goes on."""

import errno
import os

import numpy as np
import pytest

from pipeline.exchange.verify import verify
from storage.files import local
from storage.store import FeatureStore

COMMAND = ("--backbone", "toy_visual", "--weights", "random:3", "--clip-seconds", 2, "--shard-size", 2, "--workers", 1)


@pytest.fixture
def fills_up(monkeypatch):
    """From a file's name on, no file can be written to the end."""
    replace = local.Path.replace

    def after(part):
        def full(source, target):
            if part in str(target):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
            return replace(source, target)

        monkeypatch.setattr(local.Path, "replace", full)

    return after


@pytest.mark.parametrize("part", ["values/c/1", "valid/c/1", "00001.0001.json"])
def test_what_is_done_is_safe_and_the_rest_comes_later(avvp, six_clips, tmp_path, fills_up, monkeypatch, part):
    store = tmp_path / "s.zarr"
    true = local.Path.replace
    fills_up(part)
    code, _, err = avvp("extract", "--clips", six_clips, "--store", store, *COMMAND)
    assert code == 2, err
    assert err.splitlines()[-1].endswith("No space left on device. Mend it and run again")
    assert "Traceback" not in err
    assert not list(store.rglob("*.partial"))
    assert 1 not in FeatureStore.open(store).ledger("toy_visual").states()
    told = [problem.cause for problem in verify(str(store)).problems]
    assert len(told) == (part == "00001.0001.json")  # all but the record is there: told as a record that was removed
    assert all("their record is missing" in cause for cause in told)
    monkeypatch.setattr(local.Path, "replace", true)
    code, _, err = avvp("extract", "--clips", six_clips, "--store", store, *COMMAND)
    assert code == 0, err
    assert np.isfinite(FeatureStore.open(store).read("toy_visual")).all()
    assert verify(str(store), deep=True).problems == []
