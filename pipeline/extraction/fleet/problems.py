"""Exceptions that travel from a worker to its parent, with what they came from."""

from __future__ import annotations

import itertools
import pickle
import traceback

from storage.errors import AvvpError

_LONGEST_CHAIN = 8


def packed(problem: BaseException) -> bytes:
    """An exception and its causes. One that cannot be pickled becomes a RuntimeError of the same words."""
    chain: list[BaseException] = []
    found: BaseException | None = problem
    while found is not None and len(chain) < _LONGEST_CHAIN:
        chain.append(_able_to_travel(found))
        found = found.__cause__ or found.__context__
    if not isinstance(problem, (AvvpError, OSError)):
        chain[0].add_note("".join(traceback.format_exception(problem)))  # its traceback stays behind
    return pickle.dumps(chain)


def unpacked(data: bytes) -> BaseException:
    """Inverse of :func:`packed`."""
    chain: list[BaseException] = pickle.loads(data)
    for problem, cause in itertools.pairwise(chain):
        problem.__cause__ = cause
    return chain[0]


def _able_to_travel(problem: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(problem))
    except Exception:  # noqa: BLE001 - an exception's constructor is anybody's code
        return RuntimeError(f"{type(problem).__name__}: {problem}")
    return problem
