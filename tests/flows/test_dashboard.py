"""What the dashboard is told, without a server."""

import base64
import json
import logging
import re
from xml.etree import ElementTree

import httpx
import pytest

from flows import dashboard
from flows.evaluate import read_scores
from flows.outcomes import WITH_FAILURES, extraction_outcome, one_line
from flows.pictures import bar_picture, bar_svg
from flows.tables import array_rows, failure_rows, key_of, store_links, store_summary
from pipeline.extraction.shards import ClipFailures
from pipeline.inspection.status import ArrayOverview, FailureGroup, StoreOverview
from storage.errors import StoreError

LOG = logging.getLogger("test")


@pytest.fixture
def found():
    group = FailureGroup("unreadable", "the file is empty", 2, ["a", "b"])
    array = ArrayOverview("vggish", (40, 10, 128), 40, 38, {"ok": 38}, [group], "sha256:0123456789abcdef", "uniform", 5)
    return StoreOverview("out/llp one.zarr", "llp", 40, 10, 1, {"vggish": array})


def test_tables_count_and_group(found):
    (row,) = array_rows(found)
    assert (row["array"], row["done"], row["stored"], row["failed"]) == ("vggish", 40, 38, 2)
    (why,) = failure_rows(found)
    assert (why["clips"], why["reason"], why["examples"]) == (2, "the file is empty", "a, b")
    found.arrays["vggish"].failures = []
    assert failure_rows(found)[0]["reason"] == "nothing failed"


def test_summary_has_links_and_commands_that_a_shell_takes(found, tmp_path):
    page = tmp_path / "page.html"
    text = store_summary(found, page=page)
    assert "avvp status 'out/llp one.zarr'" in text
    assert page.as_uri() in text
    assert store_links("s3://bucket/x.zarr", page=None) == {"store": ("store s3://bucket/x.zarr", "s3://bucket/x.zarr")}
    assert store_links("x.zarr", page=page)["store"][1].startswith("file:///")


@pytest.mark.parametrize("path", ["a/LLP one.zarr/", "s3://b/Ü.zarr", "..."])
def test_keys_are_what_prefect_takes(path):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key_of(path))


def test_picture_is_an_image_of_its_own():
    picture = bar_picture("F1 <in %>", {"seg_a": 61.54, "average": 120.0, "ev_a": -1.0})
    kind, _, data = picture.partition(";base64,")
    assert kind == "data:image/svg+xml"
    root = ElementTree.fromstring(base64.b64decode(data))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["F1 <in %>", "seg_a", "61.5", "average", "120.0", "ev_a", "-1.0"]
    widths = [float(bar.get("width")) for bar in root.iter("{http://www.w3.org/2000/svg}rect") if bar.get("x")]
    assert max(widths[1::2]) <= widths[0]
    assert "nan" not in bar_svg("none", {})


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


class Server:
    def __init__(self, monkeypatch, fails=False):
        self.values, self.fails = [], fails
        monkeypatch.setattr(dashboard, "create_progress_artifact", self.create)
        monkeypatch.setattr(dashboard, "update_progress_artifact", self.update)

    def create(self, progress, **_):
        from uuid import uuid4

        if self.fails:
            raise httpx.ConnectError("refused")
        self.values.append(progress)
        return uuid4()

    def update(self, _id, progress):
        self.values.append(progress)


def test_the_bar_moves_now_and_then_and_always_reaches_the_end(monkeypatch):
    server, now = Server(monkeypatch), [0.0]
    monkeypatch.setattr(dashboard.time, "monotonic", lambda: now[0])
    bar = dashboard.ProgressBar(100, "clips", key="k", log=LOG)
    for _ in range(100):
        now[0] += 0.1
        bar.advance()
    assert server.values[0] == 0.0
    assert server.values[-1] == 100.0
    assert 4 <= len(server.values) <= 8
    assert server.values == sorted(server.values)


def test_a_dashboard_out_of_reach_never_stops_the_work(monkeypatch, caplog):
    Server(monkeypatch, fails=True)
    bar = dashboard.ProgressBar(2, "clips", key="k", log=LOG)
    bar.advance(2)
    assert bar.done == 2
    assert "no progress bar" in caplog.text


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
