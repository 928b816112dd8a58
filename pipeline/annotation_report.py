"""What ``avvp annotations check`` finds and prints."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape

from pipeline.data.annotation_defects import KINDS, count_kinds, nearest_clip
from pipeline.data.llp import Annotations, load_annotations


def check_annotations(folder: str, *, dataset: str, strict: bool, as_json: bool) -> None:
    """``avvp annotations check``: statistics by split and every defect with its file and lines.

    Raises:
        InvalidInput: If the files cannot be used, or ``strict`` and they have defects.
    """
    found = load_annotations(folder, dataset=dataset, strict=strict)
    if as_json:
        print(json.dumps(_as_json(found), indent=2, ensure_ascii=False))  # noqa: T201 - a command's output
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{escape(folder)}: {found.dataset.name}, {len(found)} clips, {len(found.dataset.classes)} classes")
    for split, numbers in found.statistics().items():
        facts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in numbers.items())
        console.print(f"  {escape(split)}: {facts}")
    for revision in found.revisions:
        console.print(f"These files are the release from {escape(revision)}")
    if not found.defects:
        console.print("no defects")
    for kind, count in count_kinds(found.defects).items():
        console.print(f"\n{count} {kind}: {KINDS[kind]}", style="bold")
        for defect in found.defects:
            if defect.kind == kind:
                console.print(f"  {escape(str(defect))}{escape(_hint(found, defect.clip, kind))}")


def _as_json(found: Annotations) -> dict[str, Any]:
    return {
        "folder": found.source,
        "dataset": found.dataset.name,
        "revisions": list(found.revisions),
        "splits": found.statistics(),
        "counts": count_kinds(found.defects),
        "defects": [defect.to_json() for defect in found.defects],
    }


def _hint(found: Annotations, clip: str, kind: str) -> str:
    near = nearest_clip(clip, found.ids) if kind == "unknown_clip" else ""
    return f" (perhaps {near})" if near else ""
