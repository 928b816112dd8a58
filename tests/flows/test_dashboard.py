"""What the dashboard is told, without a server."""

import json
import logging
import re
from uuid import uuid4

import httpx
import pytest

from flows import bars, dashboard
from flows.evaluate import read_scores
from flows.outcomes import WITH_FAILURES, extraction_outcome, one_line
from flows.tables import failure_rows, key_of, store_summary
from flows.train import run_summary
from pipeline.extraction.shards import ClipFailures
from pipeline.inspection.failed_clips import FailedClip
from pipeline.inspection.status import ArrayOverview, FailureGroup, StoreOverview
from storage.errors import StoreError
from storage.ledger import Row

LOG = logging.getLogger("test")


@pytest.fixture
def found():
    group = FailureGroup("unreadable", "the file is empty", 2, ["a", "b"])
    array = ArrayOverview("vggish", (40, 10, 128), 40, 38, {"ok": 38}, [group], "sha256:0123456789abcdef", "uniform", 5)
    return StoreOverview("out/llp one.zarr", "llp", 40, 10, 1, {"vggish": array})


def test_a_failure_is_told_with_its_clip_first():
    rows = failure_rows([FailedClip("a\x1b", "unreadable", "no " * 200, ["vggish", "clap"])])
    assert list(rows[0]) == ["clip", "status", "arrays", "reason"]
    assert (rows[0]["clip"], rows[0]["arrays"]) == ("a\\x1b", "vggish, clap")
    assert len(rows[0]["reason"]) == 300


def test_summary_has_counts_places_and_commands_that_a_shell_takes(found, tmp_path):
    page = tmp_path / "page.html"
    text = store_summary(found, page=page)
    assert "avvp status 'out/llp one.zarr'" in text
    assert str(page).replace("_", "\\_") in text
    assert "40 clips of 10 s in 1 shard, 2 failed" in text
    assert "| vggish | 40×10×128 | 40 of 40 | 38 | 2 | 0.0 | sha256:0123456789ab |" in text
    assert "only the first" not in text
    found.arrays["vggish"].cut = 3
    assert "Of 3 clips only the first 10 s were used" in store_summary(found, page=None)


def test_names_of_the_user_are_neither_html_nor_markdown(found):
    found.store = "<img src=x onerror=alert(1)>`*_[a](b).zarr"
    text = store_summary(found, page=None)
    assert text.splitlines()[0] == "### \\<img src=x onerror=alert(1)\\>\\`\\*\\_\\[a\\](b).zarr"
    assert "avvp status '<img src=x" in text.split("```")[1], "only in a block of code is it as it is"
    run = run_summary("a b/<i>", "labels")
    assert run.startswith("### \\<i\\>")
    assert "avvp evaluate --run 'a b/<i>' --annotations labels" in run


@pytest.mark.parametrize("path", ["a/LLP one.zarr/", "s3://b/Ü.zarr", "..."])
def test_keys_are_what_prefect_takes(path):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key_of(path))


def test_outcomes_say_how_many():
    clean = extraction_outcome(ClipFailures(40, 40, 0), {})
    assert (clean.type.value, clean.name, clean.message) == ("COMPLETED", "Completed", "40 clips done")
    some = extraction_outcome(ClipFailures(40, 40, 3), {})
    assert (some.type.value, some.name, some.message) == ("COMPLETED", WITH_FAILURES, "3 of 40 clips failed")
    broken = extraction_outcome(ClipFailures(40, 20, 3), {7: "disk full", 2: "no route"})
    assert broken.type.value == "FAILED"
    assert broken.message.startswith("2 shards failed, e.g. shard 2: no route. Run the same again")


def test_one_line_is_never_empty():
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(TimeoutError()) == "TimeoutError"


@pytest.fixture
def server(monkeypatch):
    """Takes progress artifacts, as Prefect would."""

    class Server:
        def __init__(self):
            self.values, self.fails = [], False

        def create(self, progress, **_):
            if self.fails:
                raise httpx.ConnectError("refused")
            self.values.append(progress)
            return uuid4()

        def update(self, _id, progress):
            self.values.append(progress)

    made = Server()
    monkeypatch.setattr(bars, "create_progress_artifact", made.create)
    monkeypatch.setattr(bars, "update_progress_artifact", made.update)
    return made


def test_the_bar_moves_now_and_then_and_always_reaches_the_end(monkeypatch, server):
    now = [0.0]
    monkeypatch.setattr(bars.time, "monotonic", lambda: now[0])
    bar = bars.ProgressBar(100, "clips", key="k", log=LOG)
    for _ in range(100):
        now[0] += 0.1
        bar.advance()
    assert server.values[0] == 0.0
    assert server.values[-1] == 100.0
    assert 4 <= len(server.values) <= 8
    assert server.values == sorted(server.values)


def test_a_dashboard_out_of_reach_never_stops_the_work(server, caplog):
    server.fails = True
    bar = bars.ProgressBar(2, "clips", key="k", log=LOG)
    bar.advance(2)
    assert bar.done == 2
    assert "no progress bar" in caplog.text


def test_one_bar_a_run_counts_clips_here_and_shards_elsewhere(server):
    bar = bars.ClipBar(10, store="s.zarr", key="k", log=LOG)
    assert bars.bar_of("run") is None
    with bars.shown_bar("run", bar):
        assert bars.bar_of("run") is bar
        for _ in range(3):
            bar.clip_done(0)
        bar.shard_done(0, 4)
        assert bar.part == 0.4
        bar.shard_done(1, 5)  # of a task in another process
    assert bars.bar_of("run") is None
    assert bar.part == 0.9
    bar.all_done()  # one clip was read by another run
    assert server.values[-1] == 100.0


def entries(name, reason):
    return {"vggish": Row(name, "unreadable", reason), "clap": Row(name, "ok", stored=True)}


def test_lines_of_a_task_name_the_clips_that_failed(caplog):
    reporter = dashboard.ShardReporter(LOG, 3, None)
    for number in range(7):
        reporter.clip_done(number, entries(f"clip{number}", f"cut at {number} s"))
    reporter.clip_done(8, entries("x[/b]", "no media"))
    with caplog.at_level(logging.WARNING):
        reporter.tell_failures()
    assert [record.getMessage() for record in caplog.records] == [
        "7 clips without features: unreadable: cut at N s: clip0, clip1, clip2, clip3, clip4 and 2 more",
        "1 clip without features: unreadable: no media: x[/b]",
    ]


def test_scores_are_read_or_refused(tmp_path):
    file = tmp_path / "scores.json"
    file.write_text(json.dumps({"scores": {"seg_a": 60, "average": 55.5}}))
    assert read_scores(file) == {"seg_a": 60.0, "average": 55.5}
    file.write_text('{"scores": {"accuracy": 70}}')
    assert read_scores(file) == {"accuracy": 70.0}
    for text in ("", "[]", "{}", '{"scores": {"seg_a": 1}}', '{"scores": {"average": "high"}}'):
        file.write_text(text)
        with pytest.raises(StoreError, match="Evaluate again"):
            read_scores(file)
