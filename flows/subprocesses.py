"""Stops child processes with all their descendants."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flows.parent_death import die_with_parent

_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.25


class Child:
    """A process in a session of its own, with its output in a file.

    Args:
        name: for people.
        command: program and arguments.
        environment: on top of ours.
        log: gets what it prints.
    """

    def __init__(self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = {**os.environ, **environment}
        self.start()

    def start(self) -> None:
        """Start it, or start it again. What an earlier start has left is killed first."""
        if hasattr(self, "_process"):
            self._kill_group()
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=self._environment,
                start_new_session=True, preexec_fn=_begin_child,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask it to end, then end it and every process of its group."""
        if self.is_alive():
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self._kill_group()
        self._process.wait()

    def _kill_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _begin_child() -> None:
    """A child of a script's background job would inherit ignored signals."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent()


def wait_until(condition: Callable[[], bool], *, seconds: float, alive: Callable[[], bool]) -> bool:
    """Wait for a condition; ``False`` if time runs out or what it depends on has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and alive():
        if condition():
            return True
        time.sleep(_POLL_SECONDS)
    return False
