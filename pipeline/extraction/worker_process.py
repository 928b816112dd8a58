"""The decode worker's side: started lean, tied to its parent's life, writing into the parent's memory."""

from __future__ import annotations

import contextlib
import ctypes
import io
import mmap
import os
import signal
import tempfile
import threading
import time
from functools import cache
from multiprocessing import context, process, resource_tracker, spawn, util
from multiprocessing import reduction as pickling
from multiprocessing.popen_spawn_posix import Popen
from pathlib import Path
from typing import Any

from pipeline.decode.clip import decode_clip
from pipeline.decode.clip_buffer import DecodeReport, DecodeRequest
from pipeline.decode.decord_module import decord_module

_PR_SET_PDEATHSIG = 1
_NICENESS = 10
_PARENT_CHECK_SECONDS = 1.0


class SlabMemory:
    """Shared memory for some slabs, owned by this process: the kernel frees it when this process ends, however it does.

    Args:
        slabs: how many.
        slab_bytes: size of each.
    """

    def __init__(self, *, slabs: int, slab_bytes: int) -> None:
        self.slab_bytes = -(-slab_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._file: str | None = None
        self._fd = -1
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("avvp-decoded-clips")
            # Workers open the parent's descriptor through /proc: nothing has a name that a kill could leave behind.
            self.path = f"/proc/{os.getpid()}/fd/{self._fd}"
        if self._fd < 0 or not Path(self.path).exists():
            self._open_file()
        try:
            os.ftruncate(self._fd, self.slab_bytes * slabs)
            self._map = memoryview(mmap.mmap(self._fd, self.slab_bytes * slabs))
        except OSError:
            self.close()
            raise

    def _open_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._file = tempfile.mkstemp(prefix="avvp-decoded-clips-")
        self.path = self._file

    def slab(self, number: int) -> memoryview:
        """Slab ``number`` as a writable buffer."""
        return self._map[number * self.slab_bytes : (number + 1) * self.slab_bytes]

    def close(self) -> None:
        """Drop the memory; arrays that still look at it keep their part alive."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._file is not None:
            Path(self._file).unlink(missing_ok=True)
            self._file = None


class BareSpawnContext(context.SpawnContext):
    """Spawn, but workers do not import the parent's main module.

    That module may be a notebook, a Prefect or Dask command, or a script that imports torch: seconds and hundreds of
    megabytes for each worker, and endless starts where a script has no ``if __name__ == "__main__"``. Workers need
    nothing of it.
    """


class _BareProcess(context.SpawnProcess):
    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:  # noqa: N802 - multiprocessing's name
        return _BarePopen(process_obj)


class _BarePopen(Popen):
    """As ``Popen`` of ``multiprocessing.popen_spawn_posix``, without the keys that name the main module."""

    _fds: list[int]

    def _launch(self, process_obj: Any) -> None:
        tracker = resource_tracker.getfd()
        if tracker is not None:
            self._fds.append(tracker)
        facts = spawn.get_preparation_data(process_obj.name)
        facts.pop("init_main_from_name", None)
        facts.pop("init_main_from_path", None)
        message = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            pickling.dump(facts, message)
            pickling.dump(process_obj, message)
        finally:
            context.set_spawning_popen(None)
        self.sentinel, child_end = os.pipe()
        child_reads, parent_writes = os.pipe()
        self.finalizer = util.Finalize(self, _close_all, [self.sentinel, parent_writes])
        try:
            command = spawn.get_command_line(tracker_fd=tracker, pipe_handle=child_reads)
            self._fds.extend([child_reads, child_end])
            # A worker inherits the mask. That of the thread does not do: starting the tracker has just unblocked it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self.pid = util.spawnv_passfds(os.fsencode(spawn.get_executable()), command, self._fds)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        finally:
            os.close(child_reads)
            os.close(child_end)
        # A worker that is killed at once does not read this.
        with contextlib.suppress(BrokenPipeError), os.fdopen(parent_writes, "wb", closefd=False) as pipe:
            pipe.write(message.getbuffer())


def _close_all(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


BareSpawnContext.Process = _BareProcess


def start_worker(parent: int) -> None:
    """First thing in a worker: die with the parent, stay silent on Ctrl-C, load the decoders.

    Args:
        parent: process id of the pool's owner.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # pebble's own handler would wait for the codec to return.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    # The parent may have died before the line above, and some systems have no such signal.
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    # On a CPU a network's threads wait for the slowest: a decoder on one of their cores would hold up all of them.
    os.nice(_NICENESS)
    decord_module()


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


def decode_into(memory_path: str, offset: int, request: DecodeRequest) -> DecodeReport:
    """What a worker runs: decode one clip into its slab of the parent's memory."""
    return decode_clip(request, _mapped(memory_path)[offset : offset + request.shape.nbytes])


@cache
def _mapped(path: str) -> memoryview:
    with Path(path).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0))
