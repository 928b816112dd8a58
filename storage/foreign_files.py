"""Turns exceptions over the content of a user's file into one-line errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import AvvpError
from storage.text import lines_of, visible

_SHOWN_REASON = 300


@contextmanager
def reading(where: object, complaint: str, *, error: type[AvvpError], remedy: str = "") -> Iterator[None]:
    """Turn any exception that a library raises over a file's content into one line.

    Readers of pickles, archives and arrays raise what their authors did not think of (``struct.error``,
    ``zlib.error``, ``RecursionError``, ``OverflowError`` …), so a list of expected exceptions is never complete.
    Our own errors pass through.

    Args:
        where: the file.
        complaint: what is wrong with it, e.g. ``not a state dict that torch can read``.
        error: class of the error to raise.
        remedy: what the user can do, as a sentence.

    Raises:
        AvvpError: Of the kind ``error``: ``where: complaint: reason``, free of control characters.
    """
    try:
        yield
    except AvvpError:
        raise
    except Exception as problem:  # noqa: BLE001 - a library may raise anything over a hostile file
        raise error(f"{visible(where)}: {complaint}: {reason_of(problem)}{remedy and '. '}{remedy}") from None


def reason_of(problem: BaseException) -> str:
    """The first line of an exception's message, printable and short; its type where it has none."""
    if isinstance(problem, MemoryError):
        return "it claims more memory than there is"
    if isinstance(problem, OSError) and problem.strerror:
        return visible(problem.strerror)
    lines = lines_of(str(problem).strip())
    # A KeyError or an IndexError says nothing without its type.
    named = isinstance(problem, (RuntimeError, ValueError, EOFError)) and lines
    first = visible(lines[0], limit=_SHOWN_REASON) if lines else ""
    return first if named else ": ".join(part for part in (type(problem).__name__, first) if part)
