"""Errors and tasks of a cluster that was lost in mid-run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from storage.errors import AvvpError


class ClusterLost(AvvpError):
    """A Dask or Ray cluster that does not answer any more."""

    def __init__(self, kind: str, address: str) -> None:
        super().__init__(f"the {kind} cluster at {address} was lost before this shard was done")


class UnsubmittedTask:
    """A task for which there was no cluster any more. It has ended.

    Args:
        problem: what its result is.
    """

    def __init__(self, problem: ClusterLost) -> None:
        self._problem = problem

    def add_done_callback(self, fn: Callable[[Any], None]) -> None:
        """Call back at once."""
        fn(self)

    def result(self) -> NoReturn:
        """Raise the problem.

        Raises:
            ClusterLost: Always.
        """
        raise self._problem
