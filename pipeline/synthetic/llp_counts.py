"""How often LLP's classes occur, alone and together: counts that come with the package."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from pipeline.toml_tables import parse_toml

_FILE = "llp_counts.toml"


@dataclass(frozen=True)
class LlpCounts:
    """Counts from LLP's label files.

    Attributes:
        train: training clips by the classes in them.
        spans: classes of val and test clips by ``same``, ``different``, ``audio`` and ``visual``: whether both
            modalities have the class in the same seconds or in different ones, or one alone has it.
    """

    train: dict[tuple[str, ...], int]
    spans: dict[str, int]

    def among(self, classes: Sequence[str]) -> dict[tuple[str, ...], int]:
        """The training clips that have no other classes than these."""
        return {names: count for names, count in self.train.items() if set(names) <= set(classes)}


@cache
def llp_counts() -> LlpCounts:
    """Read the counts."""
    text = (importlib.resources.files("pipeline.synthetic") / _FILE).read_text(encoding="utf-8")
    table = parse_toml(text, source=_FILE)
    return LlpCounts({tuple(names.split(",")): count for names, count in table["train"].items()}, dict(table["spans"]))
