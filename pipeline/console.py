"""What all commands print with."""

from __future__ import annotations

import sys

from rich.console import Console

_PIPE_WIDTH = 200


def wide_console() -> Console:
    """Standard output; wide where it is a file or a pipe, so that tables keep their lines."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def count(number: int, thing: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")
