"""Scores as tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping

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
