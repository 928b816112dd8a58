"""One decode worker: its process, the memory it shares with the parent, and its main loop."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import traceback
from functools import cache
from multiprocessing.connection import Pipe
from pathlib import Path

from pipeline.decode.clip import decode_clip
from pipeline.decode.clip_buffer import DecodeReport, DecodeRequest
from pipeline.decode.fetching import FOLDER_VARIABLE
from pipeline.decode.media import shorten
from pipeline.decode.temporary_copy import FOLDER_PREFIX
from pipeline.extraction.child_process import begin_child, child_command
from pipeline.extraction.kept_clips import KeptRequest, read_kept
from pipeline.extraction.sound_units import with_units
from storage.schema import Status
from storage.text import error_words

Answer = tuple[DecodeReport, str]
"""A worker's report, and the traceback of an internal error or nothing."""

_BEGIN = "import sys; sys.path[:] = sys.argv[4:]; from pipeline.extraction.worker_process import main; main()"
_MAX_TRACEBACK = 8_000
_END_SECONDS = 5.0
"""How long a killed worker is waited for; one that hangs in the kernel ends when the kernel lets it."""


class SharedBuffers:
    """Shared memory for some buffers. The kernel frees it when this process ends, however it ends.

    Args:
        buffers: how many.
        buffer_bytes: size of each.
    """

    def __init__(self, *, buffers: int, buffer_bytes: int) -> None:
        self.buffer_bytes = -(-buffer_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._file: str | None = None
        self._fd = -1
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("avvp-decoded-clips")
            # Workers open the parent's descriptor through /proc: nothing has a name that a kill could leave behind.
            self.path = f"/proc/{os.getpid()}/fd/{self._fd}"
        if self._fd < 0 or not Path(self.path).exists():
            self._open_file()
        try:
            os.ftruncate(self._fd, self.buffer_bytes * buffers)
            self._map = memoryview(mmap.mmap(self._fd, self.buffer_bytes * buffers))
        except OSError:
            self.close()
            raise

    def _open_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._file = tempfile.mkstemp(prefix="avvp-decoded-clips-")
        self.path = self._file

    def buffer(self, number: int) -> memoryview:
        """Buffer ``number``, writable."""
        return self._map[number * self.buffer_bytes : (number + 1) * self.buffer_bytes]

    def close(self) -> None:
        """Drop the memory; arrays that still look at it keep their part alive."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._file is not None:
            Path(self._file).unlink(missing_ok=True)
            self._file = None


class WorkerProcess:
    """A worker process, started at once. Requests and reports go over a socket that has no name.

    A worker inherits the signal mask of the thread that starts it, and ends with that thread.

    Args:
        niceness: added to the parent's.

    Attributes:
        pipe: to the worker: a request in, ``None`` back when the worker begins with it, then its report.
        warm: whether it has reported before, so that its libraries are loaded.

    Raises:
        OSError: If no process can be started.
    """

    def __init__(self, *, niceness: int = 0) -> None:
        self.warm = False
        self.pipe, theirs = Pipe()
        command = child_command(_BEGIN, theirs, niceness)
        with theirs:
            # A clip a process, and a thread: spectrograms need no more, and the cores are the other workers'.
            self._fetched = _fetch_folder()
            environment = {**os.environ, "OMP_NUM_THREADS": "1", FOLDER_VARIABLE: self._fetched}
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=environment
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether a signal or a debugger has stopped it; false where there is no ``/proc`` to tell."""
        try:
            facts = Path(f"/proc/{self.pid}/stat").read_text(errors="replace")
        except OSError:
            return False
        return facts.rpartition(")")[2].split()[0] in "Tt"

    def end(self, *, patience_seconds: float = 0.0) -> int:
        """Kill it, whatever it is doing, unless it ends by itself. Returns its exit code, negative for a signal."""
        self.pipe.close()
        code = self._waited(patience_seconds) if patience_seconds else None
        if code is None:
            self._process.kill()
            code = self._waited(_END_SECONDS)
        if self._fetched:
            shutil.rmtree(self._fetched, ignore_errors=True)  # the links; the bytes went with the process
        return -signal.SIGKILL if code is None else code

    def _waited(self, limit_seconds: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=limit_seconds)
        return None


def _fetch_folder() -> str:
    """Where a worker may put what it fetches; empty where there is no place for temporary files."""
    try:
        return str(Path(tempfile.gettempdir(), f"{FOLDER_PREFIX}{secrets.token_hex(8)}"))
    except OSError:
        return ""


def main() -> None:
    """What a worker runs: decode one clip after the other into the parent's memory, until the parent is gone."""
    pipe, niceness = begin_child()
    os.nice(int(niceness))
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            memory_path, offset, request = pipe.recv()
            pipe.send(None)
            pipe.send(_decode_into(memory_path, offset, request))


def _decode_into(memory_path: str, offset: int, request: DecodeRequest) -> Answer:
    """Decode a clip into its buffer. Whatever a file makes a library raise, the answer is a report."""
    try:
        buffer = _mapped(memory_path)[offset : offset + request.shape.nbytes]
        made = read_kept(request, buffer) if isinstance(request, KeptRequest) else decode_clip(request, buffer)
        return with_units(request, buffer, made), ""
    except (SystemExit, KeyboardInterrupt):
        raise
    except MemoryError:
        return DecodeReport(Status.OUT_OF_MEMORY, "not enough memory to decode this clip"), ""
    except BaseException as bug:  # noqa: BLE001 - a bug that one file meets must not end the run; it is logged
        return DecodeReport(Status.DECODE_ERROR, f"internal error: {_words(bug)}"), _traceback(bug)


def _words(bug: BaseException) -> str:
    """Its type and first line, without addresses: clips that failed alike are counted together."""
    return shorten(re.sub(r"0x[0-9a-fA-F]+", "0x…", error_words(bug)))


def _traceback(bug: BaseException) -> str:
    text = "".join(traceback.format_exception(bug))
    return text if len(text) <= _MAX_TRACEBACK else f"…{text[-_MAX_TRACEBACK:]}"


@cache
def _mapped(path: str) -> memoryview:
    with Path(path).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0))
