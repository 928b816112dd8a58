"""Final states of flow runs: how many clips failed, or a user's mistake in one line, and how they are told."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, cast

from prefect.client.schemas.objects import State
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.utilities.timeout import timeout

from flows.asked import asks_for, chosen, fields_of
from flows.buckets import bucket_access
from flows.log_lines import flush_logs, readable_logs
from flows.parameters import RunSettings
from pipeline.extraction.option_fields import switches_of
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.shards import ClipFailures
from pipeline.option_names import as_parameters, parameters_of
from storage.errors import AvvpError
from storage.text import count

P = ParamSpec("P")
EXTRACTION: Mapping[str, bool] = switches_of(ExtractOptions)
"""Parameters of an extraction, and which of them are yes or no."""
WITH_FAILURES = "CompletedWithFailures"
REFUSED = "Refused"
TIMED_OUT = "TimedOut"
"""As Prefect calls it."""
_OUT_OF_TIME = "stopped after {:g} s (timeout_seconds). What is done stays: run the same again to go on"


def one_line(problem: object) -> str:
    """A message without line breaks; the name of an error that has none."""
    return " ".join(str(problem).split()) or type(problem).__name__


def refuses_in_one_line(body: Callable[P, State[Any]]) -> Callable[P, State[Any]]:
    """Give a flow's body the parameters of :class:`RunSettings`, and see to how it ends.

    One whose parameters cannot be used ends as ``Refused``, with no traceback, and one whose time is over as
    ``TimedOut``. Each end is logged.
    """
    known, run = parameters_of(body), cast("Callable[..., State[Any]]", body)

    @functools.wraps(body)
    def guarded(**asked: Any) -> State[Any]:
        settings = chosen(RunSettings, asked)
        readable_logs()
        try:
            with bucket_access(settings.credentials), timeout(settings.timeout_seconds, _OutOfTime):
                state = run(**{name: value for name, value in asked.items() if name in known})
        except _OutOfTime:
            state = Failed(name=TIMED_OUT, message=_OUT_OF_TIME.format(settings.timeout_seconds))
        except AvvpError as mistake:
            state = Failed(name=REFUSED, message=as_parameters(one_line(mistake), known))
        _tell(state)
        return state

    # Prefect would look up the names of postponed annotations in this module.
    guarded.__signature__ = inspect.signature(body, eval_str=True)  # type: ignore[attr-defined]
    return cast("Callable[P, State[Any]]", asks_for(*fields_of(RunSettings))(guarded))


class _OutOfTime(TimeoutError):
    """The seconds that a run was given are over."""


def _tell(state: State[Any]) -> None:
    """Log an end before Prefect knows of it: a terminal that watches the run stops listening soon after that."""
    try:
        log = get_run_logger()
    except MissingContextError:  # called as a plain function
        return
    say = log.error if state.is_failed() else log.warning if state.name == WITH_FAILURES else log.info
    say("%s", state.message or state.name)
    flush_logs()


def extraction_outcome(found: ClipFailures, problems: Mapping[int, str]) -> State[None]:
    """The end of an extraction.

    Args:
        found: by the store's ledger.
        problems: why shards failed.
    """
    if problems:
        shard, reason = next(iter(sorted(problems.items())))
        return Failed(
            message=f"{count(len(problems), 'shard')} failed, e.g. shard {shard}: {as_parameters(reason, EXTRACTION)}. "
            "Run the same again: only missing shards are done"
        )
    if found.failed:
        return Completed(name=WITH_FAILURES, message=f"{found.failed} of {count(found.clips, 'clip')} failed")
    return Completed(message=f"{count(found.clips, 'clip')} done")
