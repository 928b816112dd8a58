"""What all commands print with."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console

from storage.text import visible

_PIPE_WIDTH = 200


def wide_console() -> Console:
    """Standard output; wide where it is a file or a pipe, so that tables keep their lines."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def count(number: int, thing: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def tell(notes: Iterable[str]) -> None:
    """Sentences for people, on standard error: results stay alone on standard output."""
    for note in notes:
        print(visible(note), file=sys.stderr, flush=True)  # noqa: T201 - for people who watch
