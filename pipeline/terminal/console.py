"""Printing for all commands. Texts are printed as they are: no markup, emoji codes or control characters."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from storage.text import count as count
from storage.text import visible, visible_json

_PIPE_WIDTH = 200


class _PlainConsole(Console):
    """A console that interprets nothing: names of files, clips and stores, and reasons, are anybody's text."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Everything that is printed as ``str``, cells of tables too, goes through here."""
        return super().render_str(visible(text, keep="\n"), **{**options, "markup": False, "emoji": False})

    def on_broken_pipe(self) -> None:
        """Leave it to the command, as for everything else that is printed; rich would end the process with 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def wide_console() -> Console:
    """Standard output; wide where it is a file or a pipe, so that tables keep their lines."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return _PlainConsole(markup=False, emoji=False, highlight=False, soft_wrap=True, width=width)


def error_console() -> Console:
    """Standard error, for what a function called from Python tells on its way."""
    width = None if sys.stderr.isatty() else _PIPE_WIDTH
    return _PlainConsole(markup=False, emoji=False, highlight=False, soft_wrap=True, width=width, stderr=True)


def silent_console() -> Console:
    """Nowhere."""
    return _PlainConsole(quiet=True)


def say(text: str) -> None:
    """Lines of a command's result, on standard output."""
    print(visible(text, keep="\n"), flush=True)  # noqa: T201 - this is where commands print


def say_json(body: Any) -> None:
    """A command's result for programs, on standard output."""
    print(json_text(body), flush=True)  # noqa: T201 - this is where commands print


def show_json(console: Console, body: Any) -> None:
    """Facts for people, coloured on a terminal."""
    console.print(JSONHighlighter()(Text(json_text(body))))


def json_text(body: Any) -> str:
    """Indented JSON without control characters."""
    return visible_json(json.dumps(body, indent=2, ensure_ascii=False))


def tell(notes: Iterable[str]) -> None:
    """Sentences for people, on standard error: results stay alone on standard output."""
    for note in notes:
        print(visible(note), file=sys.stderr, flush=True)  # noqa: T201 - this is where commands print
