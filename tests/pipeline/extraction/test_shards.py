"""An extraction cut into shards."""

import pytest

from pipeline.extraction.extract import extract
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.reporting import Reporter
from pipeline.extraction.shards import ShardFiller, clip_failures, prepare_shards
from storage.clips import ClipTable
from storage.errors import UnknownBackbone
from storage.store import FeatureStore

BACKBONES = ("toy_visual", "toy_audio")


def options(**changes):
    return ExtractOptions(
        **{"backbones": BACKBONES, "weights": ("random:1",), "clip_seconds": 2, "shard_size": 2, "workers": 1} | changes
    )


class Loads(Reporter):
    def __init__(self):
        self.names = []

    def loading(self, backbone, weights):
        self.names.append(backbone)


def test_shards_one_by_one_give_what_one_run_gives(toys, six_clips, tmp_path):
    table = ClipTable.load(six_clips)
    extract(table, str(tmp_path / "whole.zarr"), options())
    cut = str(tmp_path / "cut.zarr")
    work = prepare_shards(table, cut, options())
    assert (work.shards, work.clips, work.total_shards) == ((0, 1, 2), 6, 3)
    loads = Loads()
    with ShardFiller(table, cut, options()) as filler:
        reports = [filler.fill(shard, reporter=loads) for shard in (2, 0, 1)]
    assert [(report.shard, report.read, report.failed) for report in reports] == [(2, 2, 0), (0, 2, 0), (1, 2, 0)]
    assert loads.names == list(BACKBONES), "networks are built once"
    whole, pieces = FeatureStore.open(tmp_path / "whole.zarr"), FeatureStore.open(cut)
    for name in BACKBONES:
        assert whole.read(name).tobytes() == pieces.read(name).tobytes()


def test_only_what_is_missing_is_planned_and_a_done_shard_reads_nothing(toys, six_clips, tmp_path):
    table, store = ClipTable.load(six_clips), str(tmp_path / "s.zarr")
    prepare_shards(table, store, options())
    with ShardFiller(table, store, options()) as filler:
        filler.fill(1)
        assert prepare_shards(table, store, options()).shards == (0, 2)
        assert filler.fill(1).read == 0


def test_failed_clips_are_counted_once_with_their_reason(toys, six_clips, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "good.mp4").write_bytes((six_clips / "1 green.mp4").read_bytes())
    (folder / "x broken.mp4").write_bytes(b"\0" * 1000)
    table, store = ClipTable.load(folder), str(tmp_path / "s.zarr")
    prepare_shards(table, store, options())
    with ShardFiller(table, store, options()) as filler:
        report = filler.fill(0)
    assert report.failed == 1
    assert sum(report.reasons.values()) == 1
    found = clip_failures(FeatureStore.open(store), BACKBONES)
    assert (found.clips, found.committed, found.failed) == (2, 2, 1)


def test_two_devices_take_shards_at_once(toys, six_clips, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    table, store = ClipTable.load(six_clips), str(tmp_path / "s.zarr")
    both = options(device="cpu,cpu")
    prepare_shards(table, store, both)
    with ShardFiller(table, store, both) as filler, ThreadPoolExecutor(3) as threads:
        assert sorted(report.read for report in threads.map(filler.fill, range(3))) == [2, 2, 2]


def test_a_wrong_backbone_is_found_before_anything_is_made(six_clips, tmp_path):
    with pytest.raises(UnknownBackbone, match="nonesuch"):
        prepare_shards(ClipTable.load(six_clips), str(tmp_path / "s.zarr"), options(backbones=("nonesuch",)))
    assert not (tmp_path / "s.zarr").exists()
