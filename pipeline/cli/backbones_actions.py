"""Implementation of ``avvp backbones``."""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from extractors import registry
from extractors.family import FoundBackbone
from pipeline.terminal.console import count, wide_console
from storage.errors import AvvpError
from storage.text import error_words, visible

if TYPE_CHECKING:
    from extractors.base import Extractor

_SHOWN_FOUND = 200


def print_backbones() -> None:
    """``avvp backbones``."""
    console = wide_console()
    console.print("each backbone, its weights, and its arrays of a 10 s clip, steps × dim:")
    others = registry.names_of_packages()
    problems = []
    for name in (*registry.names(), *(name for name in others if name not in registry.names())):
        try:
            _print_backbone(console, name)
        except AvvpError as problem:
            problems.append(f"{name} ({others.get(name, '')}): {problem}")
    taken = sorted(set(others) & set(registry.names()))
    problems += [f"{name} ({others[name]}): the name is taken by a backbone of this package" for name in taken]
    for line in problems:
        console.print(visible(line))
    console.print("and by name:")
    for form in registry.forms():
        console.print(f"  {form}")
    console.print(
        "NAME@2fps sets a per-frame backbone's frame rate, NAME@0.96s/0.48s an audio backbone's window and hop"
    )


def _print_backbone(console: Console, name: str) -> None:
    made = registry.create(name)
    for variant in ("", *(f":{each}" for each in made.variants)):
        made = registry.create(name + variant)
        weights = _weights(FoundBackbone.with_files(made.name, made.modality, made.weights_files))
        arrays = [f"{spec.name} {spec.steps}×{spec.dim}: {spec.description}" for spec in made.specs]
        console.print(visible(f"{name}{variant} ({weights})"), style="bold")
        for line in arrays:
            console.print(Padding(visible(line), (0, 0, 0, 4), expand=False), soft_wrap=False)


def _weights(found: FoundBackbone) -> str:
    """Size of weights, and whether they are on this machine."""
    where = "here" if found.cached else "to fetch"
    return f"{found.megabytes:,.0f} MB, {where}" if found.megabytes else where


def print_found(pattern: str) -> int:
    """``avvp backbones PATTERN``. Returns the exit code."""
    found = registry.search(pattern)
    console = wide_console()
    if not found:
        console.print(f'nothing matches {visible(pattern)!r}: * stands for any letters, as in "timm:*convnext*"')
        return 3
    shown = found[:_SHOWN_FOUND]
    with_dim = any(item.dim for item in shown)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("backbone", "modality", *(["dim"] if with_dim else []), "weights"):
        table.add_column(name, overflow="fold")
    for item in shown:
        table.add_row(visible(item.name), item.modality, *([str(item.dim or "?")] if with_dim else []), _weights(item))
    console.print(table)
    if len(found) > _SHOWN_FOUND:
        console.print(f"and {len(found) - _SHOWN_FOUND} more: give a longer pattern")
    console.print("arrays, steps × dim and whether it works: avvp backbones check NAME")
    return 0


def run_check(name: str, *, weights: str, device: str, precision: str, engine: str, clip_seconds: int) -> int:
    """``avvp backbones check``. Returns the exit code: 1 where the contract is broken."""
    from extractors.contract import check_contract

    console = wide_console()
    console.print(f"loading {visible(name)} ({visible(weights)})")
    extractor = registry.load(
        name, weights=weights, device=device, precision=precision, engine=engine, clip_seconds=clip_seconds
    )
    _print_facts(extractor, clip_seconds)
    began = time.monotonic()
    try:
        clips = len(check_contract(extractor))
    except AssertionError as broken:
        console.print(visible(f"broken: {broken}"))
        return 1
    except Exception as problem:  # noqa: BLE001 - a backbone is anybody's code; its author gets the place
        last = traceback.extract_tb(problem.__traceback__)[-1]
        console.print(visible(f"broken: {error_words(problem)} ({last.filename}:{last.lineno})"))
        return 1
    console.print(f"kept, with weights {visible(weights)}: {count(clips, 'clip')} in {time.monotonic() - began:.1f} s")
    console.print(
        "shapes, types and masks are as announced; the same bits come twice; no clip changes its neighbours; a short "
        "clip ends where it ends; black or silent clips are finite; no input is altered"
    )
    return 0


def _print_facts(extractor: Extractor, clip_seconds: int) -> None:
    console = wide_console()
    facts = extractor.preprocessing
    for spec in extractor.specs:
        console.print(
            f"{visible(spec.name)}: {spec.time_grid} × {spec.dim} values of a clip of {clip_seconds} s; "
            f"{visible(spec.description or 'no description')}"
        )
    shown = (f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}" for name, value in facts.items())
    console.print(visible("input: " + ", ".join(shown)))
