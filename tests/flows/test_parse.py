"""The parse flow: its table of files."""

import importlib
from pathlib import Path

from flows.parse import file_rows

parse_flow = importlib.import_module("flows.parse")


def test_failures_come_first():
    rows = file_rows({"parsed": {"a.mp4": 3}, "done": ["b.mp4"], "failed": {"c.mp4": "c.mp4: unreadable: no media"}})
    assert [(row["file"], row["state"]) for row in rows] == [
        ("c.mp4", "failed"),
        ("a.mp4", "parsed"),
        ("b.mp4", "done before"),
    ]
    assert rows[0]["reason"] == "c.mp4: unreadable: no media"
    assert rows[1]["events"] == "3"


def test_a_name_that_begins_with_a_dash_is_no_option(monkeypatch):
    given = []

    def run(module, arguments, *, log, also_done):
        given.extend(arguments)
        report = arguments[arguments.index("--report") + 1]
        Path(report).write_text('{"parsed": {"-a.mp4": 1}, "done": [], "failed": {}}')

    monkeypatch.setattr(parse_flow, "run_module", run)
    monkeypatch.setattr(parse_flow, "get_run_logger", lambda: None)
    monkeypatch.setattr(parse_flow, "create_table_artifact", lambda rows, **how: None)
    state = parse_flow.parse.fn(["-a.mp4"], keep="kept")
    assert state.message == "1 file parsed"
    assert given[-2:] == ["--", "-a.mp4"]
    assert given.index("--keep") < given.index("--")
