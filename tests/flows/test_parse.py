"""The parse flow: its table of files."""

from flows.parse import file_rows


def test_failures_come_first():
    rows = file_rows({"parsed": {"a.mp4": 3}, "done": ["b.mp4"], "failed": {"c.mp4": "c.mp4: unreadable: no media"}})
    assert [(row["file"], row["state"]) for row in rows] == [
        ("c.mp4", "failed"),
        ("a.mp4", "parsed"),
        ("b.mp4", "done before"),
    ]
    assert rows[0]["reason"] == "c.mp4: unreadable: no media"
    assert rows[1]["events"] == "3"
