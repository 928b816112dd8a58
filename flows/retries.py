"""Chooses the errors after which a task is retried: those that may pass by themselves."""

from __future__ import annotations

import errno
from typing import Any

from prefect.client.schemas.objects import State

from storage.errors import ShardLocked

RETRIES = 4
FIRST_DELAY_SECONDS = 2.0
_PASSING = (TimeoutError, ConnectionError, ShardLocked)
_ERRNOS = (errno.EAGAIN, errno.EBUSY, errno.EIO, errno.ESTALE, errno.ENETUNREACH, errno.EHOSTUNREACH)
_CLIENT_ERRORS = frozenset(
    {
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "EndpointConnectionError",
        "ConnectionClosedError",
        "HTTPClientError",
        "ClientConnectionError",
        "ServerTimeoutError",
        "ServerDisconnectedError",
        "TransportError",
    }
)
"""Of botocore, aiohttp and httpx, by name: none of them has to be installed."""


def may_pass(problem: BaseException | None) -> bool:
    """Whether an error, or what it came from, is a time-out, a lost connection, a busy disk or a locked shard."""
    while problem is not None:
        if isinstance(problem, _PASSING) or (isinstance(problem, OSError) and problem.errno in _ERRNOS):
            return True
        if _CLIENT_ERRORS & {kind.__name__ for kind in type(problem).__mro__}:
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def retry_if_it_may_pass(task: Any, run: Any, state: State[Any]) -> bool:
    """:func:`may_pass` for a task's state, as Prefect asks for it."""
    try:
        state.result()
    except Exception as problem:  # noqa: BLE001 - whatever a task raised is what is asked about
        return may_pass(problem)
    return False


def back_off(retries: int = RETRIES) -> list[float]:
    """Seconds before each retry: each twice the one before."""
    return [FIRST_DELAY_SECONDS * 2**number for number in range(retries)]
