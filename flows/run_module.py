"""Runs ``python -m …`` as a child process, with its output in the run's log."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import deque
from collections.abc import Sequence

from flows.bars import Log
from flows.parent_death import die_with_parent
from flows.steps import steps_above
from storage.errors import AvvpError, InvalidInput

_USER_MISTAKE = 2
_LAST_LINES = 3
_STOP_SECONDS = 10.0
_EPOCH = re.compile(r"epoch (\d+)/(\d+):")
"""What ``pipeline.train`` prints after each."""


class ModuleFailed(AvvpError):
    """A child process that ended with an error."""


def run_module(module: str, arguments: Sequence[str], *, log: Log, also_done: int | None = None) -> None:
    """Run ``python -m module`` to its end.

    Args:
        module: its dotted name.
        arguments: as on a command line.
        log: gets each line that it prints.
        also_done: an exit code that is no error either.

    Raises:
        InvalidInput: If it refuses its arguments: its own line.
        ModuleFailed: If it ends with another error.
    """
    last: deque[str] = deque(maxlen=_LAST_LINES)
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", module, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", preexec_fn=die_with_parent,
    )  # fmt: skip
    try:
        for line in child.stdout or ():
            if line.strip():
                log.info("%s", line.rstrip())
                last.append(line.strip())
                _tell_steps(line.strip())
        code = child.wait()
    finally:
        _stop(child)
    if code == _USER_MISTAKE:
        raise InvalidInput(last[-1] if last else f"{module}: refused its arguments")
    if code and code != also_done:
        raise ModuleFailed(f"{module}: exit code {code}: {' '.join(last)}")


def _tell_steps(line: str) -> None:
    """Tell the flow that runs this one how far a training is."""
    epoch, above = _EPOCH.match(line), steps_above()
    if epoch and above:
        above.part_done(int(epoch[1]) / max(int(epoch[2]), 1), line)


def _stop(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdout is not None:
        child.stdout.close()
