"""What a run tells its reporters, and when."""

import pytest

from pipeline.extraction.extract import extract
from pipeline.extraction.fleet.shard_feed import ShardFeed
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.reporting import ExtractReport, Reporter, Reporters
from storage.clips import Clip, ClipTable
from storage.ledger import Row


class Events(Reporter):
    def __init__(self):
        self.seen = []

    def clip_read(self, row, report):
        self.seen.append(("read", row))

    def clip_done(self, row, entries):
        self.seen.append(("done", row))


@pytest.mark.parametrize(
    "what",
    [
        {"backbones": ("toy_visual", "toy_audio")},
        {"backbones": (), "keep": ("frames",)},
        {"backbones": ("toy_audio",), "keep": ("waveform",)},
    ],
)
def test_every_clip_is_read_and_then_done_once(toys, six_clips, tmp_path, what):
    clips = [*ClipTable.load(six_clips), Clip("gone", str(tmp_path / "gone.mp4"))]
    chosen = ExtractOptions(**{"weights": ("random:1",), "clip_seconds": 2, "shard_size": 4, "workers": 1} | what)
    events = Events()
    extract(ClipTable(clips), str(tmp_path / "s.zarr"), chosen, reporter=events)
    for row in range(len(clips)):
        assert [what for what, at in events.seen if at == row] == ["read", "done"]


def test_a_worker_process_passes_on_what_it_is_told_of_clips():
    names = {name for name in vars(Reporter) if name.startswith(("clip_", "shard_"))}
    assert names <= set(vars(ShardFeed))


def test_all_reporters_are_told_everything():
    one, other = Events(), Events()
    told = Reporters(one, other)
    for name in [name for name in vars(Reporter) if not name.startswith("_")]:
        assert name in vars(Reporters), f"Reporters forgets {name}"
    told.clip_done(3, {})
    assert one.seen == other.seen == [("done", 3)]


def test_clips_that_were_cut_are_counted_once():
    report = ExtractReport()
    row = Row("a", "ok", "source is 12.0 s; the first 10 s were used", stored=True)
    report.clip_done(0, {"one": row, "two": row})
    report.clip_done(1, {"one": Row("b", "ok", stored=True)})
    assert report.cut == {"a"}
