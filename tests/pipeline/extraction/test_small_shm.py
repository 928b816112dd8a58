"""Containers give ``/dev/shm`` 64 MB: decoded clips travel through memory that does not count there."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from storage.store import FeatureStore

DATA = Path(__file__).resolve().parents[2] / "data"
SMALL = 'mount -t tmpfs -o size=64k small /dev/shm && exec "$@"'
"""A thousandth of Docker's: less than one decoded clip."""


def in_small_shm(*command):
    """The command as it is run where ``/dev/shm`` is small; skips where that needs rights we lack."""
    wrapped = ["unshare", "--mount", "sh", "-c", SMALL, "sh"]
    try:
        tried = subprocess.run([*wrapped, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare")
    if tried.returncode:
        pytest.skip(f"needs the right to mount: {tried.stderr.strip()}")
    return [*wrapped, *map(str, command)]


def test_extraction_needs_no_shared_memory_of_the_container(six_clips, tmp_path):
    store = tmp_path / "s.zarr"
    command = in_small_shm(
        sys.executable, DATA / "avvp_with_toys.py", "extract", "--clips", six_clips, "--store", store, "--backbone",
        "toy_visual", "--backbone", "toy_audio", "--weights", "random:1", "--clip-seconds", "2", "--workers", "2",
        "--keep", "frames",
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert np.isfinite(FeatureStore.open(store).read("toy_visual")).all()
