"""One process of a device's worker, as its parent sees it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from multiprocessing.connection import Pipe
from typing import Any

from pipeline.extraction.child_process import child_command

_BEGIN = "import sys; sys.path[:] = sys.argv[4:]; from pipeline.extraction.fleet.device_worker import main; main()"

Message = tuple[int | None, str, tuple[Any, ...]]


class DeviceProcess:
    """A worker process, started at once. It ends with the thread that starts it, and inherits its signal mask.

    Args:
        label: of the device, for ``ps``.
        start: pickled, see :class:`~pipeline.extraction.fleet.device_worker.Start`.

    Attributes:
        pipe: to the worker.

    Raises:
        OSError: If no process can be started.
    """

    def __init__(self, label: str, start: bytes) -> None:
        self.pipe, theirs = Pipe()
        with theirs:
            command = child_command(_BEGIN, theirs, label)
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        with contextlib.suppress(OSError):  # it has ended: the next thing read from it says so
            self.pipe.send_bytes(start)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, shard: int | None) -> None:
        """Hand it a shard, or tell it that there will be no more."""
        with contextlib.suppress(OSError):  # as above
            self.pipe.send(shard)

    def receive(self) -> Message | None:
        """What it says; ``None`` when it has ended."""
        try:
            message: Message = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return message

    def ask_to_end(self) -> None:
        """Ask it to let go of what it holds, and to end."""
        self._process.send_signal(signal.SIGTERM)

    def end(self, *, patience_seconds: float) -> str:
        """Wait for its end, or kill it. Returns how it ended, for people."""
        self.pipe.close()
        try:
            code = self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
