"""What stands below a table: seeds, hashes of the data, time, and where published numbers were read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.reproduce.item import Item
from pipeline.reproduce.needs import needs_of
from pipeline.reproduce.request import Request
from pipeline.reproduce.runs import PlannedRun
from pipeline.terminal.console import count
from pipeline.training.checkpoint import file_digest
from storage.store import FeatureStore


def sources(item: Item) -> list[str]:
    """Where published numbers were read, if not in the paper."""
    rows: dict[str, list[str]] = {}
    for row in item.rows:
        if row.source:
            rows.setdefault(row.source, []).append(row.name)
    return [f"paper's numbers of {'; '.join(names)}: {source}" for source, names in rows.items()]


def data_facts(request: Request, plan: Mapping[str, Sequence[PlannedRun]], seconds: float) -> list[str]:
    """What the numbers of trained rows depend on.

    Args:
        request: names the data.
        plan: runs by row.
        seconds: that training took now.
    """
    store = FeatureStore.open(request.store_url)
    seeds = sorted({run.recipe.train.seed for row in plan.values() for run in row})
    arrays = needs_of(run.recipe for row in plan.values() for run in row).arrays
    prints = ", ".join(f"{name} {store.fingerprint(name)}" for name in arrays)
    facts = [
        f"seeds {', '.join(map(str, seeds))}",
        f"store {store.url}: {count(len(store.clips), 'clip')}, table {store.info.clip_table_hash}, {prints}",
        f"label files {request.annotations}: {_folder_digest(Path(request.annotations).expanduser())}",
        f"trained in {seconds / 60:.1f} minutes, finished runs left out",
    ]
    if any(store.provenance(name).source == "synthetic" for name in arrays):
        facts.append("the features are made up: no number here can be compared with the paper's")
    return [*facts, f"changed in every run: {', '.join(request.changes)}"] if request.changes else facts


def _folder_digest(folder: Path) -> str:
    """``sha256:…`` of the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        digest.update(path.name.encode() + b"\0" + bytes.fromhex(file_digest(path)))
    return f"sha256:{digest.hexdigest()}"
