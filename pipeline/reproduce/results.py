"""The result of an item: our numbers over seeds, the published ones, and the differences, as Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.reproduce.item import Item


@dataclass(frozen=True)
class RowResult:
    """One row.

    Attributes:
        name: as the paper has it.
        ours: measurements by column, one mapping a seed; empty for systems of other authors.
        published: numbers of the paper by column.
    """

    name: str
    ours: Sequence[Mapping[str, float]]
    published: Mapping[str, float]

    def mean(self, column: str) -> float | None:
        """Mean over seeds; ``None`` where it was not measured."""
        values = self._values(column)
        return float(np.mean(values)) if values else None

    def deviation(self, column: str) -> float | None:
        """Standard deviation over seeds; ``None`` for fewer than two."""
        values = self._values(column)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def difference(self, column: str) -> float | None:
        """Ours minus the paper's; ``None`` where one of them is not known."""
        mean, published = self.mean(column), self.published.get(column)
        return None if mean is None or published is None else mean - published

    def _values(self, column: str) -> list[float]:
        return [one[column] for one in self.ours if column in one]


@dataclass(frozen=True)
class ItemResult:
    """All rows of an item.

    Attributes:
        name: of the item.
        item: itself.
        rows: in its order.
        columns: names of the measurements that are shown, with their headings.
        facts: what the numbers depend on, in words: seeds, data, time.
    """

    name: str
    item: Item
    rows: Sequence[RowResult]
    columns: Mapping[str, str]
    facts: Sequence[str] = field(default_factory=tuple)

    def table(self) -> str:
        """As Markdown: for each row ours, the paper's and the difference."""
        lines = [(f"{row.name}, {who}", cells) for row in self.rows for who, cells in self._lines(row)]
        head = ["", *self.columns.values()]
        cells = [head, *([name, *values] for name, values in lines)]
        if self.item.kind == "classes":  # a column a class is too wide for anybody
            cells = [list(column) for column in zip(*cells, strict=True)]
        first, *body = cells
        text = [f"| {' | '.join(first)} |".replace("|  |", "| |"), "|---" * len(first) + "|"]
        text += [f"| {' | '.join(row)} |" for row in body]
        return "\n".join(text) + "\n"

    def markdown(self) -> str:
        """The table with its title above and the facts below."""
        note = [self.item.note, ""] if self.item.note else []
        facts = [f"- {fact}" for fact in self.facts]
        table = [self.table()] if self.columns else []
        return "\n".join([f"# {self.item.title}", "", f"{self.item.paper}.", "", *note, *table, *facts]) + "\n"

    def to_json(self) -> dict[str, Any]:
        """Plain data; ``ours`` has an entry a seed."""
        rows = [{"name": row.name, "ours": [dict(one) for one in row.ours], "published": dict(row.published)}
                for row in self.rows]  # fmt: skip
        return {"item": self.name, "paper": self.item.paper, "rows": rows, "facts": list(self.facts)}

    def _lines(self, row: RowResult) -> list[tuple[str, list[str]]]:
        lines = []
        if row.ours:
            lines.append(("ours", [_ours(row, name) for name in self.columns]))
        if row.published:
            lines.append(("paper", [_number(row.published.get(name)) for name in self.columns]))
        if row.ours and row.published:
            lines.append(("Δ", [_number(row.difference(name), sign=True) for name in self.columns]))
        return lines


def _ours(row: RowResult, column: str) -> str:
    spread = row.deviation(column)
    return _number(row.mean(column)) + ("" if spread is None else f" ±{spread:.2f}")


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "-"
    rounded = round(value, 2) + 0.0  # not -0.00
    return f"{rounded:+.2f}" if sign else f"{rounded:.2f}"
