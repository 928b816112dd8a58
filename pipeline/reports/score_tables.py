"""Formats scores as Markdown tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.metrics.bootstrap import Interval


def score_table(
    rows: Mapping[str, Mapping[str, float]],
    headings: Mapping[str, str],
    intervals: Mapping[str, Mapping[str, Interval]],
) -> str:
    """A row for each title, a column for each heading, in percent.

    Args:
        rows: scores by name, by title.
        headings: by name of a score, in order.
        intervals: 95 % intervals by name, by title, where known; half their width is shown.
    """
    lines = [f"| | {' | '.join(headings.values())} |", "|---" * (len(headings) + 1) + "|"]
    for title, scores in rows.items():
        cells = []
        for name in headings:
            found = intervals.get(title, {}).get(name)
            cells.append(f"{scores[name]:.2f}" + (f" ±{(found.high - found.low) / 2:.1f}" if found else ""))
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def absent_line(clips: int, videos: int, split: str) -> str:
    """A line that says how many clips of a split have no predictions; empty where all have."""
    absent = clips - videos
    return f"{absent} of {clips} clips of {split} have no predictions and do not count\n" if absent else ""


def write_scores(file: Path, scores: Mapping[str, float], intervals: Mapping[str, Interval] | None) -> None:
    """Write the file of ``evaluate --json``: ``{"scores": …}`` in percent, and ``intervals`` if given."""
    body: dict[str, Any] = {"scores": scores}
    if intervals:
        body["intervals"] = {name: vars(part) for name, part in intervals.items()}
    write_json(file, body)


def write_json(file: Path, body: Mapping[str, Any]) -> None:
    """Write a report; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(body, indent=2))
