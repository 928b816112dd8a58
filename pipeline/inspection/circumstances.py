"""Counts on what the shards of an array were made, and says it in a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.ledger_summary import LedgerSummary

_BY_NAME = ("driver", "cuda", "cudnn", "torch", "openvino")


@dataclass(frozen=True)
class MadeOn:
    """Shards that were made on the same machinery.

    Attributes:
        shards: how many.
        circumstances: as their records have them; empty where they say nothing.
    """

    shards: int
    circumstances: Mapping[str, Any]

    def __str__(self) -> str:
        """For people, e.g. ``NVIDIA H100 (cuda:0), torch 2.11, bfloat16, batches of 128``."""
        facts = dict(self.circumstances)
        if not facts:
            return "not recorded"
        device = facts.pop("device", "")
        model = facts.pop("gpu", facts.pop("cpu", ""))
        words = [f"{model} ({device})" if model else str(device)]
        named = {name: facts.pop(name) for name in _BY_NAME if name in facts}
        for said_already in ("engine", "tf32"):  # by its version, and by the precision
            facts.pop(said_already, None)
        words += [f"{name} {version}" for name, version in named.items()]
        words += [str(facts.pop("precision", ""))]
        words += ["compiled"] if facts.pop("compiled", False) else []
        words += [f"batches of {facts.pop('batch_units')}"] if "batch_units" in facts else []
        words += [f"{name} {fact}" for name, fact in facts.items()]
        return ", ".join(word for word in words if word)


def made_on(summary: LedgerSummary) -> list[MadeOn]:
    """Shards by their circumstances, the largest group first."""
    found = [MadeOn(shards, facts) for facts, shards in summary.circumstances]
    return sorted(found, key=lambda group: (-group.shards, str(group)))
