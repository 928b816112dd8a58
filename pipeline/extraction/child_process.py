"""Starts Python processes of our own that end with their parent, whatever it is and however it ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PARENT_CHECK_SECONDS = 1.0


def child_command(begin: str, pipe: Connection, argument: object) -> list[str]:
    """The command of a child process.

    Args:
        begin: Python code that calls a ``main`` which begins with :func:`begin_child`. It takes the parent's import
            path from ``sys.argv[4:]`` and nothing of its main module: that may be a notebook, a command of Prefect or
            Dask, or a script that imports torch or has no ``if __name__ == "__main__"``. ``-m`` would put the current
            folder first, where a folder named ``storage`` would hide ours.
        pipe: the child's end; hand it to ``pass_fds`` too.
        argument: for the child.
    """
    path = [entry or str(Path.cwd()) for entry in sys.path]
    return [sys.executable, "-c", begin, str(pipe.fileno()), str(os.getpid()), str(argument), *path]


def begin_child() -> tuple[Connection, str]:
    """First thing in a child: die with the parent, stay silent on Ctrl-C and on standard output.

    Returns:
        The child's end of the pipe, and its argument.
    """
    pipe = Connection(int(sys.argv[1]))
    os.set_inheritable(pipe.fileno(), False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    # The parent may have died before the line above, and some systems have no such signal.
    threading.Thread(target=_leave_with, args=(int(sys.argv[2]),), daemon=True).start()
    with contextlib.suppress(OSError):
        os.dup2(2, 1)  # what a library prints is no output of the command that runs
    return pipe, sys.argv[3]


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)
