"""Exceptions that travel from a worker to its parent, with what they came from."""

from __future__ import annotations

import itertools
import pickle
import traceback

from storage.errors import AvvpError

_LONGEST_CHAIN = 8


def packed(problem: BaseException) -> bytes:
    """An exception and its causes. One that the parent cannot make again becomes a RuntimeError of the same words."""
    if not isinstance(problem, (AvvpError, OSError)):
        problem.add_note("".join(traceback.format_exception(problem)))  # its traceback stays behind
    chain: list[tuple[bytes, str, list[str]]] = []
    found: BaseException | None = problem
    while found is not None and len(chain) < _LONGEST_CHAIN:
        words = f"{type(found).__name__}: {found}"
        chain.append((_pickled(found), words, getattr(found, "__notes__", [])))
        found = found.__cause__ or found.__context__
    return pickle.dumps(chain)


def unpacked(data: bytes) -> BaseException:
    """Inverse of :func:`packed`."""
    chain = [_made_again(*item) for item in pickle.loads(data)]
    for problem, cause in itertools.pairwise(chain):
        problem.__cause__ = cause
    return chain[0]


def _pickled(problem: BaseException) -> bytes:
    try:
        return pickle.dumps(problem)
    except Exception:  # noqa: BLE001 - what an exception holds is anybody's choice
        return b""


def _made_again(data: bytes, words: str, notes: list[str]) -> BaseException:
    try:
        found = pickle.loads(data)
        if isinstance(found, BaseException):
            return found
    except Exception:  # noqa: BLE001 - its class may be out of reach here, or take other arguments
        pass
    instead = RuntimeError(words)
    for note in notes:
        instead.add_note(note)
    return instead
