"""Tables, links and text for the dashboard, as plain data."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from pipeline.inspection.status import StoreOverview

_EXAMPLES = ", "


def array_rows(found: StoreOverview) -> list[dict[str, Any]]:
    """A row an array: clips done, stored and failed."""
    return [
        {
            "array": prefix + array.name,
            "shape": "×".join(map(str, array.shape)),
            "clips": found.clips,
            "done": array.committed,
            "stored": array.stored,
            "failed": array.committed - array.stored,
            "MB": round(array.bytes_on_disk / 1e6, 1),
            "weights": array.weights[:19],
        }
        for prefix, arrays in (("", found.arrays), ("decoded/", found.decoded))
        for array in arrays.values()
    ]


def failure_rows(found: StoreOverview) -> list[dict[str, Any]]:
    """A row a reason and array, largest first; one row that says so where nothing failed."""
    rows = [
        {
            "array": array.name,
            "clips": group.count,
            "status": group.status,
            "reason": group.reason,
            "examples": _EXAMPLES.join(group.examples),
        }
        for array in [*found.arrays.values(), *found.decoded.values()]
        for group in array.failures
    ]
    rows.sort(key=lambda row: -int(str(row["clips"])))
    return rows or [{"array": "all", "clips": 0, "status": "ok", "reason": "nothing failed", "examples": ""}]


def address_of(store_url: str) -> str:
    """A store as a link: ``file://…`` for a local one."""
    return store_url if "://" in store_url else Path(store_url).resolve().as_uri()


def key_of(path: str) -> str:
    """A store's or a run's name as an artifact key: lower-case letters, digits and dashes."""
    name = path.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"


def store_links(store_url: str, *, page: Path | None) -> dict[str, tuple[str, str]]:
    """Text and address of each link, by a short name."""
    links = {"store": (f"store {store_url}", address_of(store_url))}
    if page is not None:
        links["page"] = (f"inspect page {page.name}", page.as_uri())
    return links


def store_summary(found: StoreOverview, *, page: Path | None) -> str:
    """Markdown: what the store holds, and the commands that tell more."""
    store = shlex.quote(found.store)
    lines = [
        f"### [{found.store}]({address_of(found.store)})",
        "",
        f"{found.dataset or 'unnamed'}: {found.clips} clips of {found.clip_seconds} s in {found.shards} shards, "
        f"{found.failed_clips} failed.",
        "",
    ]
    if page is not None:
        lines += [f"One clip across all arrays: [{page}]({page.as_uri()})", ""]
    return "\n".join([*lines, "```", f"avvp status {store}", f"avvp inspect {store}", f"avvp verify {store}", "```"])
