"""Tables of scores: drawn on a terminal, Markdown elsewhere."""

import io

import pytest
from rich.console import Console

from pipeline.metrics.bootstrap import Interval
from pipeline.reports.score_tables import score_table
from pipeline.terminal.score_tables import show_tables

HEADINGS = {name: f"seg {name.upper()}" for name in "abcdef"}
ROWS = {title: dict.fromkeys("abcdef", 12.345) for title in ("han, test, 8 videos", "nothing predicted")}
MARKDOWN = score_table(ROWS, HEADINGS, {"han, test, 8 videos": {"a": Interval(12.0, 10.0, 14.0, 1.0)}})


def shown(text, *, terminal, width=200):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None, markup=False)
    show_tables(console, text)
    return console.file.getvalue()


def test_a_pipe_gets_markdown():
    assert shown(MARKDOWN, terminal=False).strip() == MARKDOWN.strip()


def test_a_terminal_gets_aligned_columns():
    lines = [line for line in shown(f"before\n{MARKDOWN}after", terminal=True).splitlines() if line.strip()]
    assert "|" not in "".join(lines)
    assert [line.strip() for line in (lines[0], lines[-1])] == ["before", "after"]
    head, first, second = lines[1:4]
    assert first.startswith("han, test, 8 videos")
    assert head.index("seg F") + len("seg F") == second.rindex("12.3") + len("12.35")
    assert first.count("±2.0") == 1


def test_a_narrow_terminal_gets_scores_as_rows():
    lines = shown(MARKDOWN, terminal=True, width=60).splitlines()
    assert "nothing predicted" in lines[0]
    assert [line.split()[1] for line in lines[1:7]] == list("ABCDEF")
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("title", ["a | b", "|"])
def test_a_bar_in_a_name_loses_nothing(title):
    text = score_table({title: dict.fromkeys("abcdef", 1.0)}, HEADINGS, {})
    assert shown(text, terminal=True).count("1.00") == 6
