"""Rate, time left and lines of a run, with a clock of our own."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from pipeline.extraction.plan import Plan, ShardTask
from pipeline.extraction.progress import LiveReporter, PlainReporter
from pipeline.terminal.pace import Pace
from storage.ledger import Row
from storage.schema import Status


class FakeClock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return FakeClock()


def paced(clock, total):
    pace = Pace(clock=clock)
    pace.total = total
    return pace


def finish(pace, clock, *moments):
    """``(seconds, clips)``: so much later, so many clips are finished at once."""
    for seconds, clips in moments:
        clock.now += seconds
        for _ in range(clips):
            pace.finish()
            clock.now += 0.001


def test_nothing_is_claimed_before_the_first_clip(clock):
    pace = paced(clock, 3)
    clock.now += 45
    assert (pace.clips_per_second, pace.seconds_left, str(pace)) == (None, None, "? clips/s, ETA ?")


def test_one_of_three_clips(clock):
    """It said 2 s when 22 were left: clips that are decoded ahead are not finished."""
    pace = paced(clock, 3)
    finish(pace, clock, (11, 1))
    assert pace.seconds_left == pytest.approx(22, abs=0.1)
    clock.now += 4
    assert str(pace) == "0.09 clips/s, ETA 0:18"
    finish(pace, clock, (7, 1))
    assert pace.seconds_left == pytest.approx(11, abs=0.1)
    finish(pace, clock, (11, 1))
    assert str(pace) == "0.09 clips/s, ETA 0:00"


def test_loading_does_not_count(clock):
    pace = paced(clock, 10)
    clock.now += 300
    pace.start()
    finish(pace, clock, (2, 1))
    assert pace.seconds_left == pytest.approx(18, abs=0.1)


def test_networks_that_load_in_the_middle_of_a_run(clock):
    pace = paced(clock, 20)
    finish(pace, clock, *[(2, 1)] * 5)
    clock.now += 300
    pace.start()
    assert pace.seconds_left is None
    finish(pace, clock, (3, 1))
    assert pace.seconds_left == pytest.approx(14 * 3, abs=0.1)


@pytest.mark.parametrize(("seconds", "clips"), [(2, 6), (300, 32), (0.1, 1)])
def test_bursts(clock, seconds, clips):
    """Between two bursts the estimate counts down with the clock; it does not jump when the next one comes."""
    pace = paced(clock, 20 * clips)
    finish(pace, clock, *[(seconds, clips)] * 4)
    for burst in range(4, 19):
        truth = (20 - burst) * seconds
        for part in (0.0, 0.5, 0.99):
            clock.now += part * seconds
            assert pace.seconds_left == pytest.approx(truth - part * seconds, rel=0.08, abs=0.7)
            clock.now -= part * seconds
        finish(pace, clock, (seconds, clips))


def test_a_slow_start_is_forgotten(clock):
    pace = paced(clock, 100)
    finish(pace, clock, (90, 1))
    assert pace.seconds_left == pytest.approx(90 * 99, rel=0.01)
    finish(pace, clock, *[(1, 1)] * 2)
    assert pace.seconds_left == pytest.approx(97, rel=0.01)


def test_the_rate_is_that_of_the_last_minute(clock):
    pace = paced(clock, 10_000)
    finish(pace, clock, *[(1, 1)] * 200, *[(4, 1)] * 30)
    assert pace.clips_per_second == pytest.approx(0.25, rel=0.05)


def test_a_stall_shows(clock):
    """The last clip of a run said ETA 0:00 for 106 s."""
    pace = paced(clock, 11)
    finish(pace, clock, *[(2, 1)] * 10)
    clock.now += 2
    assert pace.seconds_left == pytest.approx(0, abs=0.1)
    seen = []
    for _ in range(10):
        clock.now += 10
        seen.append(pace.seconds_left)
    assert seen == sorted(seen)
    assert seen[0] >= 9
    assert seen[-1] >= 95
    assert pace.clips_per_second < 0.1


def test_hours(clock):
    pace = paced(clock, 1000)
    finish(pace, clock, (10, 1))
    assert str(pace).endswith("ETA 2:46:30")


def plan(clips):
    return Plan((ShardTask(0, {"a": frozenset(range(clips))}),), ())


def decoded(status=Status.OK):
    return SimpleNamespace(status=status)


def entries(status="ok"):
    return {"a": Row("x", status, stored=status == "ok")}


class Lines(PlainReporter):
    def __init__(self, **options):
        super().__init__(**options)
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def test_plain_lines_of_a_run_in_one_shard(clock):
    """All three are decoded at once, and done one by one."""
    told = Lines(clock=clock)
    told.planned(plan(3), shards=1)
    told.loading("resnet152", "sha256:" + "0" * 64)
    told.loading("vggish", "random:0")
    clock.now += 30
    told.running()
    for row in range(3):
        clock.now += 4
        told.clip_read(row, decoded(Status.MISSING if row == 2 else Status.OK))
    for row in range(3):
        clock.now += 20
        told.clip_done(row, entries("missing" if row == 2 else "extractor_error" if row == 1 else "ok"))
    assert told.lines == [
        "3 clips to read in 1 of 1 shard",
        "loading resnet152 (sha256:000000000000)",
        "loading vggish (random:0)",
        "networks are loaded after 30 s",
        "0/3 clips done, 3 read, ? clips/s, ETA ?, failed: 1 missing",
        "1/3 clips done, 3 read, 0.03 clips/s, ETA 1:04, failed: 1 missing",
        "2/3 clips done, 3 read, 0.04 clips/s, ETA 0:26, failed: 1 missing, 1 extractor_error",
        "3/3 clips done, 0.05 clips/s, ETA 0:00, failed: 1 missing, 1 extractor_error",
    ]
    assert told._failed == {"missing": 1, "extractor_error": 1}


def test_a_second_round_counts_on(clock):
    told = Lines(clock=clock)
    told.planned(plan(4), shards=2)
    told.running()
    for row in range(4):
        told.clip_done(row, entries())
    assert told.pace.done == 4
    told.planned(plan(2), shards=2)  # backbones that read kept frames come in a second round, with the same rows
    told.clip_done(0, entries())
    assert (told.pace.done, told.pace.total) == (5, 6)


def test_compiling_is_told(clock):
    told = Lines(clock=clock, compiled=True)
    told.loading("a", "random:0")
    told.running()
    assert told.lines[-1].startswith("networks are loaded after 0 s; they are compiled at their first batch")


def test_the_bar_counts_what_is_finished_and_shows_a_stall(clock):
    screen = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    live = LiveReporter(screen, clock=clock)
    with live.progress:
        live.planned(plan(3), shards=1)
        live.loading("a[/b]\x1b[2J", "random:0")
        live.running()
        for row in range(3):
            live.clip_read(row, decoded())
        live.progress.refresh()
        assert "0/3 3 read, ? clips/s, ETA ?, failed: none" in screen.file.getvalue()
        clock.now += 11
        live.clip_done(0, entries())
        live.progress.refresh()
        assert "1/3 3 read, 0.09 clips/s, ETA 0:22, failed: none" in screen.file.getvalue()
        clock.now += 111
        live.progress.refresh()
        assert "1/3 3 read, 0.01 clips/s, ETA 3:31" in screen.file.getvalue()
    assert r"loading a[/b]\x1b[2J (random:0)" in screen.file.getvalue()
