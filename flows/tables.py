"""Tables and text for the dashboard, as plain data."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline.inspection.failed_clips import FailedClip
from pipeline.inspection.status import StoreOverview
from storage.text import count, visible

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|&~#])")
_MOST_REASON = 300


def failure_rows(failed: Sequence[FailedClip]) -> list[dict[str, str]]:
    """A row a clip and reason. The clip comes first: a long reason pushes what follows it off the screen."""
    return [
        {
            "clip": visible(clip.id),
            "status": clip.status,
            "arrays": ", ".join(clip.arrays),
            "reason": visible(clip.reason, limit=_MOST_REASON),
        }
        for clip in failed
    ]


def key_of(path: str) -> str:
    """A store's or a run's name as an artifact key: lower-case letters, digits and dashes."""
    name = path.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"


def plain_markdown(text: object) -> str:
    """A text of the user's own as it is: neither HTML nor Markdown acts in it."""
    return _MARKDOWN.sub(r"\\\1", visible(text))


def table_markdown(names: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table, line by line."""
    lines = [names, ["---"] * len(names), *([plain_markdown(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def store_summary(found: StoreOverview, *, page: Path | None) -> str:
    """Markdown: what the store holds, where it is, and the commands that tell more.

    Places are texts to copy: browsers follow no ``file://`` link from a page of the dashboard.
    """
    store = shlex.quote(visible(found.store))
    lines = [
        f"### {plain_markdown(found.store)}",
        "",
        f"{plain_markdown(found.dataset or 'unnamed')}: {count(found.clips, 'clip')} of {found.clip_seconds} s in "
        f"{count(found.shards, 'shard')}, {found.failed_clips:,} failed.",
        "",
    ]
    if found.cut_clips:
        lines += [f"Of {count(found.cut_clips, 'clip')} only the first {found.clip_seconds} s were used.", ""]
    lines += [*table_markdown(_COLUMNS, _array_rows(found)), ""]
    if page is not None:
        lines += [f"One clip across all arrays: {plain_markdown(page)}", ""]
    return "\n".join([*lines, "```", f"avvp status {store}", f"avvp inspect {store}", f"avvp verify {store}", "```"])


_COLUMNS = ("array", "shape", "done", "stored", "failed", "MB", "weights")


def _array_rows(found: StoreOverview) -> list[tuple[object, ...]]:
    return [
        (
            prefix + array.name,
            "×".join(map(str, array.shape)),
            f"{array.committed:,} of {found.clips:,}",
            f"{array.stored:,}",
            f"{array.committed - array.stored:,}",
            f"{array.bytes_on_disk / 1e6:,.1f}",
            array.weights[:19],
        )
        for prefix, arrays in (("", found.arrays), ("decoded/", found.decoded))
        for array in arrays.values()
    ]
