"""Implementation of ``avvp annotations``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from pipeline.datasets.annotation_defects import KINDS, count_kinds, nearest_clip
from pipeline.datasets.ave import EventLabels, load_events
from pipeline.datasets.clip_labels import ClipLabels
from pipeline.datasets.dataset_description import load_description
from pipeline.datasets.llp import Annotations, load_annotations
from pipeline.terminal.console import count, say_json, wide_console
from storage.errors import InvalidInput
from storage.text import visible

_SHOWN = 3


def check_annotations(folder: str, *, dataset: str, strict: bool, show_all: bool, as_json: bool) -> None:
    """``avvp annotations check``: statistics by split, defects by kind, and examples with file and lines.

    Raises:
        InvalidInput: If the files cannot be used, or ``strict`` and they have defects.
    """
    known = load_description(dataset)
    if known.event_files:
        _check_events(load_events(folder, dataset=known), strict=strict, as_json=as_json)
        return
    found = load_annotations(folder, dataset=known, strict=strict)
    if as_json:
        say_json(_as_json(found))
        return
    console = wide_console()
    _print_statistics(console, found, found.statistics())
    for revision in found.revisions:
        console.print(f"These files are the release from {visible(revision)}")
    _print_defects(console, found, shown=None if show_all else _SHOWN)


def _print_defects(console: Console, found: Annotations, *, shown: int | None) -> None:
    """Counts of all kinds, then examples of each."""
    kinds = count_kinds(found.defects)
    console.print(f"{count(len(found.defects), 'defect')}" if found.defects else "no defects", style="bold")
    for kind, number in kinds.items():
        console.print(f"  {number} {kind}: {KINDS[kind]}")
    for kind, number in kinds.items():
        console.print(f"\n{kind}", style="bold")
        for defect in [defect for defect in found.defects if defect.kind == kind][:shown]:
            console.print(f"  {visible(str(defect))}{visible(_hint(found, defect.clip, kind))}")
        if shown is not None and number > shown:
            console.print(f"  and {number - shown} more: --all")


def _check_events(found: EventLabels, *, strict: bool, as_json: bool) -> None:
    """The same for a dataset of event localization, whose files have one thing that is odd: videos that come twice."""
    splits = found.statistics()
    again = sum(numbers["annotated_again"] for numbers in splits.values())
    if strict and again:
        raise InvalidInput(f"{found.source}: {again} rows are of videos that other rows are of, too")
    if as_json:
        body = {"folder": found.source, "dataset": found.dataset.name, "splits": splits}
        say_json(body)
        return
    _print_statistics(wide_console(), found, splits)


def _print_statistics(console: Console, found: ClipLabels, splits: Mapping[str, Mapping[str, int]]) -> None:
    classes = len(found.dataset.classes)
    console.print(f"{visible(found.source)}: {found.dataset.name}, {count(len(found), 'clip')}, {classes} classes")
    for split, numbers in splits.items():
        facts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in numbers.items())
        console.print(f"  {visible(split)}: {facts}")


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


def gather_annotations(parsed: str, out: str, *, dataset: str, split: str) -> None:
    """``avvp annotations gather``.

    Raises:
        InvalidInput: If there is nothing to gather, or a file is malformed.
    """
    from pathlib import Path

    from pipeline.parsing.formats.llp_folder import gather

    found = gather(Path(parsed), Path(out), split=split, dataset=dataset)
    console = wide_console()
    console.print(f"{visible(out)}: {count(len(found.clips), 'clip')} of {visible(split)} gathered")
    if found.empty:
        shown = ", ".join(visible(name) for name in found.empty[:_SHOWN])
        more = f" and {len(found.empty) - _SHOWN} more" if len(found.empty) > _SHOWN else ""
        console.print(f"left out, for nothing happens in them and these files cannot say that: {shown}{more}")
