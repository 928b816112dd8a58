"""Shards in memory: how many, in which order they end, and that their bits know nothing of it."""

import random

import psutil
import pytest

from pipeline.extraction import fill as fill_module
from pipeline.extraction.extract import extract
from pipeline.extraction.open_shards import OPEN_SHARDS
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.reporting import Reporter
from pipeline.extraction.sources import PoolSource
from storage.clips import Clip, ClipTable
from storage.store import FeatureStore

BACKBONES = ("toy_visual", "toy_audio")


@pytest.fixture
def table(six_clips):
    """24 clips, of six files."""
    paths = sorted(six_clips.iterdir())
    return ClipTable([Clip(f"{number:02d}", str(paths[number * 5 % 6])) for number in range(24)])


class Log(Reporter):
    """What was told, in order."""

    def __init__(self):
        self.read, self.done, self.shards = [], [], []

    def clip_read(self, row, report):
        self.read.append(row)

    def clip_done(self, row, entries):
        assert set(entries) == set(BACKBONES)
        self.done.append(row)

    def shard_done(self, shard):
        self.shards.append(shard)


class Shuffled(PoolSource):
    """Gives clips in an order of its own: row 1 when there is no other to give, the others as chance has it."""

    def decode(self, rows):
        dice, pulled, more = random.Random(7), [], True
        while more or pulled:
            while more and len(pulled) < 4 and (row := next(rows, "end")) is not None:
                more = row != "end"
                pulled += [row] * more
            others = [row for row in pulled if row != 1]
            if others or not more:
                row = dice.choice(others or pulled)
                pulled.remove(row)
                yield from super().decode([row])


def run(table, url, shard_size, **options):
    log = Log()
    chosen = ExtractOptions(BACKBONES, ("random:1",), clip_seconds=2, shard_size=shard_size, workers=3, **options)
    extract(table, str(url), chosen, reporter=log)
    return log, FeatureStore.open(str(url))


@pytest.mark.parametrize("shard_size", [1, 4, 10])
def test_any_order_gives_the_same_bits(toys, table, tmp_path, monkeypatch, shard_size):
    _, plain = run(table, tmp_path / "plain.zarr", 24)
    monkeypatch.setattr(fill_module, "PoolSource", Shuffled)
    log, store = run(table, tmp_path / "shuffled.zarr", shard_size)
    assert log.read != sorted(log.read)
    assert sorted(log.done) == list(range(24))
    # The slow clip holds up its own shard, and what shares its last batch.
    assert log.read[-1] == 1
    assert log.shards.index(1 // shard_size) >= store.shards - 3
    assert sorted(log.shards) == list(range(store.shards))
    for name in BACKBONES:
        assert store.read(name).tobytes() == plain.read(name).tobytes()
        assert [row.id for record in store.ledger(name).newest().values() for row in record.rows] == list(table.ids)


class Stops(Log):
    """Stops a worker when the first clip has come, and notes how far the run is when that one has gone."""

    def __init__(self):
        super().__init__()
        self.stopped, self.read_meanwhile = None, 0

    def clip_read(self, row, report):
        super().clip_read(row, report)
        workers = [child for child in psutil.Process().children() if "worker_process" in " ".join(child.cmdline())]
        if self.stopped is None and len(workers) == 2:
            self.stopped = min(workers, key=lambda worker: worker.create_time())  # the other one may be starting yet
            self.stopped.suspend()
        elif self.stopped in workers and self.stopped.status() == psutil.STATUS_STOPPED:
            self.read_meanwhile += 1


def test_a_stopped_worker_holds_up_nobody_and_costs_no_clip(toys, table, tmp_path):
    _, plain = run(table, tmp_path / "plain.zarr", 4)
    log = Stops()
    options = ExtractOptions(BACKBONES, ("random:1",), clip_seconds=2, shard_size=4, workers=2, deadline_seconds=8.0)
    report = extract(table, str(tmp_path / "s.zarr"), options, reporter=log)
    assert log.read_meanwhile > 0
    assert not log.stopped.is_running()
    assert (report.read, report.failed) == (24, {})
    for name in BACKBONES:
        assert FeatureStore.open(str(tmp_path / "s.zarr")).read(name).tobytes() == plain.read(name).tobytes()


def test_shards_in_memory_are_few(toys, table, tmp_path, monkeypatch):
    from pipeline.extraction import open_shards

    most, alive = [], set()

    class Counted(open_shards.ShardJob):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            alive.add(self.task.shard)
            most.append(len(alive))

        def commit(self):
            super().commit()
            alive.remove(self.task.shard)

    monkeypatch.setattr(open_shards, "ShardJob", Counted)
    monkeypatch.setattr(fill_module, "PoolSource", Shuffled)
    run(table, tmp_path / "s.zarr", 3)
    assert 2 <= max(most) <= OPEN_SHARDS
