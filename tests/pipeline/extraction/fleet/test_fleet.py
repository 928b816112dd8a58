"""Worker processes of devices: what they share, how they die, and that nothing is lost or left behind."""

import contextlib
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from extractors.registry import BACKBONES
from pipeline.extraction.extract import extract
from pipeline.extraction.fleet import fleet
from pipeline.extraction.fleet.fleet import _labels, _shared_out
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.reporting import Reporter
from pipeline.extraction.shards import ShardFiller, prepare_shards
from storage.clips import Clip, ClipTable
from storage.errors import BackboneBroken, WeightsError
from storage.store import FeatureStore
from storage.writer import claim

BOTH = ("toy_deadly", "toy_audio")


@pytest.fixture(autouse=True)
def deadly(toys, monkeypatch):
    monkeypatch.setitem(BACKBONES, "toy_deadly", "toy_backbones:ToyDeadly")


@pytest.fixture
def table(six_clips):
    """12 clips, of six files; rows 3 and 9 are red."""
    paths = sorted(six_clips.iterdir())
    return ClipTable([Clip(f"{number:02d}", str(paths[(number + 3) % 6])) for number in range(12)])


def options(backbones=BOTH, **changes):
    how = {"weights": ("random:1",), "clip_seconds": 2, "shard_size": 2, "workers": 2, "engine": "torch"}
    return ExtractOptions(backbones, **{**how, "device": "cpu,cpu", **changes})


def rows_of(url):
    store = FeatureStore.open(str(url))
    return [row for name in store.features for record in store.ledger(name).newest().values() for row in record.rows]


def bits(url):
    store = FeatureStore.open(str(url))
    return {name: store.read(name).tobytes() for name in store.features}


@pytest.fixture
def whole(table, tmp_path):
    """The bits of an unbroken run in this process."""
    extract(table, str(tmp_path / "whole.zarr"), options(device="cpu"))
    return bits(tmp_path / "whole.zarr")


def workers_here():
    return [child for child in psutil.Process().children() if "device_worker" in " ".join(child.cmdline())]


class Killer(Reporter):
    """Kills the first worker when it has read a clip."""

    def __init__(self):
        self.family = []

    def clip_read(self, row, report):
        if self.family:
            return
        (victim,) = [worker for worker in workers_here() if "cpu #1" in worker.cmdline()]
        self.family = [child for worker in workers_here() for child in [worker, *worker.children(recursive=True)]]
        victim.kill()


def test_a_killed_worker_is_named_and_its_shards_are_done(table, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_SLEEP", "0.05")
    killer = Killer()
    report = extract(table, str(tmp_path / "s.zarr"), options(), reporter=killer)
    ((device, reason),) = report.ended
    assert device == "cpu #1"
    assert reason.startswith("killed by SIGKILL, ")
    assert reason.endswith("; it is started again")
    assert (report.failed, report.lost, report.read) == ({}, {}, 12)
    assert bits(tmp_path / "s.zarr") == whole
    assert not list((tmp_path / "s.zarr").rglob("*.lock"))
    assert not psutil.wait_procs(killer.family, timeout=20)[1], "left behind"


def test_a_device_whose_workers_die_at_every_start_is_given_up(table, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_DIES_ON", "cpu #2")
    monkeypatch.setenv("TOY_LOADS", str(tmp_path / "loads"))
    monkeypatch.setenv("TOY_WAITS", "4")  # the other one has been built three times
    report = extract(table, str(tmp_path / "s.zarr"), options())
    assert report.lost == {"cpu #2": "exit code 9 (3 times), before it had read a clip"}
    assert [reason.rpartition("; ")[2] for _, reason in report.ended] == [
        "it is started again", "it is started again", "it is not started again",
    ]  # fmt: skip
    assert (report.failed, bits(tmp_path / "s.zarr")) == ({}, whole)


def test_when_no_worker_is_left_the_run_ends_with_one_line(table, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setenv("TOY_STICKY_AT", "2")
        with pytest.raises(BackboneBroken) as raised:
            extract(table, str(tmp_path / "s.zarr"), options(("toy_sticky",)))
    said = str(raised.value)
    assert "cpu #1: backbone toy_sticky: RuntimeError: CUDA error: an illegal memory access" in said
    assert "cpu #2: backbone toy_sticky" in said
    assert said.count("(3 times), at shard") == 2
    assert said.count("marked no clip as failed") == 1
    assert not [row for row in rows_of(tmp_path / "s.zarr") if row.failed]
    assert extract(table, str(tmp_path / "s.zarr"), options(("toy_sticky",))).failed == {}


def test_a_bug_of_a_backbone_ends_each_worker_once(table, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_BUGGY", "0")
    with pytest.raises(BackboneBroken, match="toy_buggy: ValueError") as raised:
        extract(table, str(tmp_path / "s.zarr"), options(("toy_buggy",), shard_size=6))
    assert "times" not in str(raised.value)
    assert not rows_of(tmp_path / "s.zarr")


def test_a_shard_that_ends_every_worker_is_named_and_the_others_are_done(table, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_DIES_OF_RED", "1")
    rest = ClipTable(table.clips[:8])
    with pytest.raises(BackboneBroken, match=r"shard 1 ended 3 workers in a row \(cpu #\d: killed by SIGKILL, then"):
        extract(rest, str(tmp_path / "s.zarr"), options())
    store = FeatureStore.open(str(tmp_path / "s.zarr"))
    for name in store.features:
        assert sorted(store.ledger(name).newest()) == [0, 2, 3]
    monkeypatch.delenv("TOY_DIES_OF_RED")
    assert extract(rest, str(tmp_path / "s.zarr"), options()).shards == {1}


def test_workers_that_have_nothing_to_do_end_and_are_started_again(table, tmp_path, monkeypatch):
    url, one = str(tmp_path / "s.zarr"), options(device="cpu")
    prepare_shards(table, url, one)
    monkeypatch.setattr(fleet, "_IDLE_SECONDS", 0.1)
    with ShardFiller(table, url, one) as filler:
        assert filler.fill(0).read == 2
        while filler.worker_pids:
            time.sleep(0.05)
        again = filler.fill(1)
    assert (again.read, again.ended) == (2, ())


class Log(Reporter):
    def __init__(self):
        self.seen = []

    def loading(self, backbone, weights):
        self.seen.append(f"loading {backbone}")

    def waiting(self, shards):
        self.seen.append("waiting")


def test_networks_and_decode_workers_stay_up_from_shard_to_shard(table, whole, tmp_path, monkeypatch):
    url, one = str(tmp_path / "s.zarr"), options(device="cpu", workers=1)
    monkeypatch.setenv("TOY_LOADS", str(tmp_path / "loads"))
    prepare_shards(table, url, one)
    seen = []

    def fill(shard):
        read = filler.fill(shard).read
        seen.append((filler.worker_pids, [child.pid for child in psutil.Process(filler.worker_pids[0]).children()]))
        return read

    with ShardFiller(table, url, one) as filler, ThreadPoolExecutor(2) as threads:
        assert [*threads.map(fill, range(6))] == [2] * 6
        family = [psutil.Process(pid) for pid in [*seen[0][0], *seen[0][1]]]
    assert [len(pids) for pids in seen[0]] == [1, 1]
    assert all(pids == seen[0] for pids in seen), "one worker, with one decode worker, from the first to the last shard"
    assert (tmp_path / "loads").read_text() == "loaded\n"
    assert bits(url) == whole
    assert not psutil.wait_procs(family, timeout=20)[1], "left behind"


def test_an_error_that_passes_is_raised_as_it_is_and_the_worker_goes_on(table, tmp_path, monkeypatch):
    url, one = str(tmp_path / "s.zarr"), options(device="cpu")
    prepare_shards(table, url, one)
    monkeypatch.setenv("TOY_PASSES", str(tmp_path / "passed"))
    with ShardFiller(table, url, one) as filler:
        with pytest.raises(OSError, match="Input/output error") as raised:
            filler.fill(0)
        before = filler.worker_pids
        assert (raised.value.errno, filler.fill(0).read, filler.worker_pids) == (5, 2, before)


def test_what_the_store_refuses_is_told_by_its_type(table, tmp_path):
    url, one = str(tmp_path / "s.zarr"), options(device="cpu")
    prepare_shards(table, url, one)
    wrong = options(device="cpu", weights=(str(tmp_path / "none.pth"),))
    with ShardFiller(table, url, wrong) as filler, pytest.raises(WeightsError, match=r"none\.pth"):
        filler.fill(0)


def test_a_shard_that_another_process_holds_is_waited_for(table, tmp_path):
    url, one, log = str(tmp_path / "s.zarr"), options(device="cpu"), Log()
    prepare_shards(table, url, one)
    with ShardFiller(table, url, one) as filler, ThreadPoolExecutor(1) as threads:
        with claim(FeatureStore.open(url), list(BOTH), 0):
            held = threads.submit(filler.fill, 0, reporter=log)
            assert filler.fill(1).read == 2, "others go on"
            while "waiting" not in log.seen:
                time.sleep(0.05)
            assert not held.done()
        assert held.result().read == 2


def test_networks_that_only_later_shards_need_are_built_then(table, tmp_path):
    url, log = str(tmp_path / "s.zarr"), Log()
    extract(table, url, options(("toy_deadly",), device="cpu", shards=(0,), keep=("frames",)))
    both = options(("toy_deadly", "toy_audio", "toy_visual"), device="cpu")
    prepare_shards(table, url, both)
    with ShardFiller(table, url, both) as filler:
        assert [filler.fill(shard, reporter=log).failed for shard in (0, 1, 2)] == [0, 0, 0]
    assert sorted(log.seen[:2]) == ["loading toy_audio", "loading toy_visual"]
    assert log.seen[2:] == ["loading toy_deadly"]
    assert prepare_shards(table, url, both).shards == (3, 4, 5)


def test_a_shard_is_done_from_media_and_from_kept_frames(table, whole, tmp_path):
    url = str(tmp_path / "s.zarr")
    extract(table, url, options((), device="cpu", keep=("frames",)))
    both = options(device="cpu")
    prepare_shards(table, url, both)
    with ShardFiller(table, url, both) as filler:
        assert [filler.fill(shard).failed for shard in range(6)] == [0] * 6
    assert FeatureStore.open(url).provenance("toy_deadly").source == "decoded"
    assert prepare_shards(table, url, both).shards == ()
    assert bits(url)["toy_audio"] == whole["toy_audio"]


def test_calls_that_wait_raise_when_the_filler_is_closed(table, tmp_path, monkeypatch):
    url, one = str(tmp_path / "s.zarr"), options(device="cpu")
    prepare_shards(table, url, one)
    monkeypatch.setenv("TOY_SLEEP", "0.5")
    with ThreadPoolExecutor(2) as threads:
        filler = ShardFiller(table, url, one)
        calls = [threads.submit(filler.fill, shard) for shard in (0, 1)]
        while not (family := [child for worker in workers_here() for child in [worker, *worker.children()]])[1:]:
            time.sleep(0.05)
        filler.close()
        for call in calls:
            with pytest.raises(BackboneBroken, match="were stopped"):
                call.result(60)
        with pytest.raises(BackboneBroken, match="were stopped"):
            filler.fill(2)
    assert not psutil.wait_procs(family, timeout=20)[1]


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_workers_end_with_the_run(avvp_process, six_clips, tmp_path, stop, code):
    process = avvp_process(
        "extract", "--clips", six_clips, "--store", tmp_path / "s.zarr", "--backbone", "toy_visual", "--weights",
        "random:1", "--clip-seconds", 2, "--shard-size", 1, "--device", "cpu,cpu", "--workers", 2, TOY_SLEEP="5",
    )  # fmt: skip
    family = []
    end = time.monotonic() + 100
    while len(family) < 4 and time.monotonic() < end:
        time.sleep(0.1)
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(stop)
    assert process.wait(60) == code
    assert len(family) == 4, "two workers of a decoder each"
    assert not psutil.wait_procs(family, timeout=20)[1], "left behind"


def test_devices_that_are_named_twice_are_told_apart_and_share_what_there_is():
    assert _labels(["cpu", "cuda:0", "cpu"]) == ["cpu #1", "cuda:0", "cpu #2"]
    mine = _shared_out(options(workers=5, memory="1MB", device="cpu,cpu"))
    assert [(each.device, each.workers, each.memory_bytes) for each in mine] == [("cpu", 2, 500_000)] * 2
