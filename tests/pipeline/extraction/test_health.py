"""A backbone or a device that is broken: the run stops, and no clip is written off."""

import hashlib

import pytest
import torch

from extractors.engines.batches import is_out_of_memory
from extractors.engines.device_errors import is_device_broken
from pipeline.extraction.extract import extract
from pipeline.extraction.health import FIRST_CLIPS, Health
from pipeline.extraction.options import ExtractOptions
from storage.clips import Clip, ClipTable
from storage.errors import BackboneBroken
from storage.store import FeatureStore


def chained(outer, inner):
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("problem", "is_broken"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), True),
        (RuntimeError("a block: device-side assert triggered"), True),
        (chained(ValueError("my layer failed"), RuntimeError("CUDA error: unspecified launch failure")), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), False),
        (RuntimeError("CUDA error: out of memory"), False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), False),
        (ValueError("expected 3 channels"), False),
        (None, False),
    ],
)
def test_which_errors_say_that_the_device_is_broken(problem, is_broken):
    assert is_device_broken(problem) is is_broken


def test_the_libraries_own_words_for_memory():
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert is_out_of_memory(RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"))


def noted(health, *reasons, shard=0):
    for reason in reasons:
        health.note("b", shard, reason)


def test_the_first_clips_that_all_fail_alike():
    health = Health()
    noted(health, *(f"ValueError: clip {n} of 0x7f{n}" for n in range(FIRST_CLIPS - 1)))
    assert health.is_doubtful(0)
    assert not health.is_doubtful(1)
    with pytest.raises(BackboneBroken, match="backbone b: ValueError: clip 0 of 0x7f0: each of the first 8 clips"):
        noted(health, "ValueError: clip 8 of 0x0", shard=1)


@pytest.mark.parametrize("other", [None, "another reason"])
def test_one_clip_that_ends_otherwise_is_enough(other):
    health = Health()
    noted(health, *["reason"] * 7, other, *["reason"] * 20)
    assert not health.is_doubtful(0)


@pytest.mark.parametrize(("failed", "good", "is_broken"), [(4, 4, True), (4, 5, False), (3, 0, False), (32, 32, True)])
def test_half_of_a_shard(failed, good, is_broken):
    health = Health()
    noted(health, None, shard=0)
    noted(health, *["reason"] * failed, *[None] * good, shard=7)
    health.check(0)
    if is_broken:
        with pytest.raises(BackboneBroken, match=f"{failed} of {failed + good} clips of shard 7 failed with it"):
            health.check(7)
    else:
        health.check(7)


def test_a_shard_waits_while_its_backbone_has_only_failed_since():
    health = Health()
    noted(health, *[None] * 7, shard=0)
    noted(health, *["reason"] * 5, shard=1)
    noted(health, "reason", shard=0)
    health.check(0)
    assert health.fails_lately(0)
    noted(health, None, shard=1)
    assert not health.fails_lately(0)


def test_shards_that_are_too_small_to_judge_do_not_wait_for_ever():
    health = Health()
    noted(health, None, shard=0)
    for shard in range(1, FIRST_CLIPS):
        noted(health, "reason", shard=shard)
        assert health.fails_lately(shard)
    noted(health, "reason", shard=FIRST_CLIPS)
    assert not any(health.fails_lately(shard) for shard in range(FIRST_CLIPS + 1))


def test_what_is_forgotten_is_not_judged_again():
    health = Health()
    noted(health, None, shard=0)
    noted(health, *["reason"] * 4, shard=7)
    health.forget(7)
    health.check(7)


@pytest.fixture
def table(six_clips):
    """24 clips, of six files."""
    paths = sorted(six_clips.iterdir())
    return ClipTable([Clip(f"{number:02d}", str(paths[number % 6])) for number in range(24)])


def options(backbone, shard_size, **changes):
    return ExtractOptions(
        (backbone, "toy_audio"), ("random:1",), clip_seconds=2, shard_size=shard_size, workers=2, **changes
    )


def rows_of(url):
    store = FeatureStore.open(str(url))
    return [row for name in store.features for record in store.ledger(name).newest().values() for row in record.rows]


def content(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "/c/" in str(path)
    }


@pytest.mark.parametrize(
    ("backbone", "setting", "shard_size", "words"),
    [
        ("toy_sticky", ("TOY_STICKY_AT", "3"), 2, "RuntimeError: CUDA error: an illegal memory access was encountered"),
        ("toy_buggy", ("TOY_BUGGY", "0"), 2, "ValueError: clip 1: no such thing: each of the first 8 clips"),
        ("toy_buggy", ("TOY_BUGGY", "9"), 8, r"ValueError: clip \d+: no such thing: \d of 8 clips of shard"),
    ],
)
def test_a_broken_backbone_stops_the_run_and_the_next_one_completes(
    toys, table, tmp_path, monkeypatch, backbone, setting, shard_size, words
):
    whole, cut = tmp_path / "whole.zarr", tmp_path / "cut.zarr"
    extract(table, str(whole), options(backbone, shard_size))
    with monkeypatch.context() as broken:
        broken.setenv(*setting)
        with pytest.raises(BackboneBroken, match=words):
            extract(table, str(cut), options(backbone, shard_size))
    assert not [row for row in rows_of(cut) if row.failed]
    assert not list(cut.rglob("*.lock"))
    report = extract(table, str(cut), options(backbone, shard_size))
    assert report.failed == {}
    assert content(cut) == content(whole)
    assert len(rows_of(cut)) == 48


def test_fewer_than_four_clips_are_rows_of_the_ledger(toys, table, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_BUGGY", "0")
    few = ClipTable(table.clips[:3])
    report = extract(few, str(tmp_path / "s.zarr"), options("toy_buggy", 2))
    assert len(report.failed) == 3
    assert {row.status for row in rows_of(tmp_path / "s.zarr") if row.failed} == {"extractor_error"}
