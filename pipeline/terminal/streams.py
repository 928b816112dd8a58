"""Standard output and error that nobody reads any more, or that were closed before we were started."""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO


def open_missing_streams() -> None:
    """Give a process that was started without standard output or error (``>&-``) ones that lead nowhere.

    Python has ``None`` for them, on which printing libraries fall over, and the next file that is opened would get
    their number: what a C library prints would go into it.
    """
    if sys.stdout is not None and sys.stderr is not None:
        return
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, this one
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()


def drop_unread_streams() -> bool:
    """Lead streams whose reader has gone nowhere, so that Python does not fall over them as it ends.

    Returns:
        Whether there is one.
    """
    found = False
    for stream in (sys.stdout, sys.stderr):
        if _reader_is_gone(stream):
            found = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return found


def _reader_is_gone(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # errors are reported without being asked for
    except (OSError, ValueError, AttributeError):  # no file of the system, or a system without poll
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - lives as long as the process
