"""kill -9 at random moments, then the same command again: the finished store has the same bits."""

import contextlib
import hashlib
import random
import subprocess
import time

import psutil
import pytest

from storage.store import FeatureStore

KILLS = 20
COMMAND = (
    "--backbone", "toy_visual", "--backbone", "toy_audio", "--weights", "random:3",
    "--clip-seconds", "2", "--shard-size", "2", "--workers", "2", "--keep", "frames,waveform,preview",
)  # fmt: skip


def content(folder):
    """Digest of every file that holds rows; ledgers hold seconds and attempts, so their words are compared apart."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if "/c/" in str(path)
    }


def outcomes(folder):
    store = FeatureStore.open(folder)
    names = [*store.features, *(store.decoded_spec(name).ledger_name for name in store.decoded)]
    return {
        name: [
            (row.id, row.status, row.reason, row.stored, row.clip_fingerprint)
            for record in store.ledger(name).newest().values()
            for row in record.rows
        ]
        for name in names
    }


def start(avvp_process, clips, store):
    return avvp_process("extract", "--clips", clips, "--store", store, *COMMAND, TOY_SLEEP="0.05")


@pytest.fixture
def clips(six_clips, tmp_path):
    folder = tmp_path / "clips"
    for copy in range(2):
        for path in six_clips.iterdir():
            target = folder / f"{copy} {path.name}"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    (folder / "x broken.mp4").write_bytes(b"\0" * 1000)
    return folder


def descendants(process):
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def kill_one(process, chooser):
    """Kill the run, or one of its workers. Returns whether the run itself was killed."""
    workers = descendants(process)
    if workers and chooser.random() < 0.4:
        with contextlib.suppress(psutil.NoSuchProcess):
            chooser.choice(workers).kill()
        return False
    process.kill()
    return True


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_killed_at_random_moments_the_store_has_the_same_bits(avvp_process, clips, tmp_path):
    chooser = random.Random(20261121)
    whole, cut = tmp_path / "whole.zarr", tmp_path / "cut.zarr"
    began = time.monotonic()
    assert start(avvp_process, clips, whole).wait(120) == 3
    seconds = time.monotonic() - began
    kills, left, restarts = 0, [], 0
    while kills < KILLS:
        process = start(avvp_process, clips, cut)
        left += descendants(process)
        while kills < KILLS and process.poll() is None:
            try:
                process.wait(chooser.uniform(0.05, 0.6) * seconds)
            except subprocess.TimeoutExpired:
                left += descendants(process)
                kills += 1
                kill_one(process, chooser)
                time.sleep(0.05)
        if process.poll() is None:
            process.wait(120)
        restarts += 1
        if process.returncode == 3:  # it got through: begin a new store, so that the next kills hit something
            assert content(cut) == content(whole)
            cut = tmp_path / f"cut{restarts}.zarr"
    assert start(avvp_process, clips, cut).wait(120) == 3
    assert content(cut) == content(whole)
    assert outcomes(cut) == outcomes(whole)
    assert not list(cut.rglob("*.partial"))
    assert not list(cut.rglob("*.lock"))
    assert not list(cut.rglob("*.intent"))
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive, f"left behind: {alive}"
