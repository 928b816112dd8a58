"""Log lines of flow and task runs, as a terminal that watches a run can print them."""

from __future__ import annotations

import logging
import re

from prefect.exceptions import FailedRun

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_MARKUP = re.compile(r"\[(?=[a-z#/@][^\[]*\])")
"""The beginning of what rich reads as a style."""


def unmarked(text: str) -> str:
    """A text that Prefect's command line prints in full: it hands log lines and run names to rich as markup.

    ``avvp-pipeline[dask]`` would lose its extra there, and ``a[/b]`` would end the command with a traceback. With a
    space after the bracket, neither is markup, and pip reads the extra as before.
    """
    return _MARKUP.sub("[ ", text)


class _Readable(logging.Filter):
    """Takes markup out, and drops what Prefect's engine logs of a run that ends as failed on purpose: a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], FailedRun):
            return False
        record.msg, record.args = unmarked(record.getMessage()), ()
        return True


_READABLE = _Readable()


def readable_logs() -> None:
    """Make this process's log lines of runs readable; calling it again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_READABLE)


def flush_logs() -> None:
    """Send what has been logged to the server now; at most some seconds are waited for that."""
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            handler.flush()
