"""Final states of flow runs: how many clips failed, or a user's mistake in one line."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

from prefect.client.schemas.objects import State
from prefect.exceptions import FailedRun
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from pipeline.extraction.shards import ClipFailures
from storage.errors import AvvpError
from storage.text import count

P = ParamSpec("P")
WITH_FAILURES = "CompletedWithFailures"
REFUSED = "Refused"


def one_line(problem: object) -> str:
    """A message without line breaks; the name of an error that has none."""
    return " ".join(str(problem).split()) or type(problem).__name__


class _NoTraceback(logging.Filter):
    """A run that ends as failed on purpose is logged as an "unexpected exception" by Prefect's engine."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], FailedRun))


_NO_TRACEBACK = _NoTraceback()


def refuses_in_one_line(body: Callable[P, State[Any]]) -> Callable[P, State[Any]]:
    """End a flow whose parameters cannot be used as ``Refused``, with that line and no traceback."""

    @functools.wraps(body)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> State[Any]:
        logging.getLogger("prefect.flow_runs").addFilter(_NO_TRACEBACK)
        try:
            return body(*args, **kwargs)
        except AvvpError as mistake:
            get_run_logger().error(one_line(mistake))
            return Failed(name=REFUSED, message=one_line(mistake))

    # Prefect would look up the names of postponed annotations in this module.
    guarded.__signature__ = inspect.signature(body, eval_str=True)  # type: ignore[attr-defined]
    return guarded


def extraction_outcome(found: ClipFailures, problems: Mapping[int, str]) -> State[None]:
    """The end of an extraction.

    Args:
        found: by the store's ledger.
        problems: why shards failed.
    """
    if problems:
        shard, reason = next(iter(sorted(problems.items())))
        return Failed(
            message=f"{count(len(problems), 'shard')} failed, e.g. shard {shard}: {reason}. "
            "Run the same again: only missing shards are done"
        )
    if found.failed:
        return Completed(name=WITH_FAILURES, message=f"{found.failed} of {count(found.clips, 'clip')} failed")
    return Completed(message=f"{count(found.clips, 'clip')} done")
