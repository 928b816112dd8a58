"""Leases in an object store, which keep one writer a shard where there is no ``flock``.

A lease is an object ``<key>.<number>``, put only where no object is. The highest number holds the lease. The holder
puts its object again every few seconds, as a sign of life. Another process takes the next number when it has seen no
sign for :data:`LEASE_SECONDS` on its own clock, or at once if the holder was a process of this machine that has ended.
A holder that was paused for so long finds out before it writes (:meth:`Leases.check`). The ledger record itself is put
only where none is, so the shard has one record and that one is whole.

No library serves: ``filelock`` and ``fasteners`` lock files of a local disk, and ``s3fs`` and ``obstore`` have the
conditional put that a lease is made of, but no lease.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.errors import ShardLocked

if TYPE_CHECKING:
    from storage.files.root import Root

LEASE_SECONDS = 30.0
BEAT_SECONDS = 8.0
_POLL_SECONDS = 0.2


class Leases:
    """The leases of one store that this process holds or watches.

    Args:
        root: with :meth:`~storage.files.root.Root.put_new`.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._held: dict[str, _Held] = {}
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._guard = threading.Lock()
        self._beater: threading.Thread | None = None

    @contextlib.contextmanager
    def held(self, key: str, *, patience_seconds: float) -> Iterator[None]:
        """Hold a lease for the length of a ``with`` block.

        Raises:
            ShardLocked: If another process holds it still after ``patience_seconds``.
        """
        give_up = time.monotonic() + patience_seconds
        while not self._try(key):
            if time.monotonic() >= give_up:
                raise ShardLocked(f"{self._root.url}/{key}: another process is writing this shard")
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            with self._guard:
                lease = self._held.pop(key)
            if self._is_ours(lease):
                self._root.remove(lease.path)

    def check(self, key: str) -> None:
        """Raises ShardLocked if another process has taken the lease over."""
        lease = self._held.get(key)
        if lease is None or not self._is_ours(lease) or self._numbers(key)[-1:] != [lease.number]:
            raise ShardLocked(
                f"{self._root.url}/{key}: the lock was lost: it was not renewed for too long. Run the command again"
            )

    def _try(self, key: str) -> bool:
        if key in self._held:
            return False  # another thread of this process
        numbers = self._numbers(key)
        if numbers and not self._is_stale(key, numbers[-1]):
            return False
        lease = _Held(key, numbers[-1] + 1 if numbers else 1)
        try:
            self._root.put_new(lease.path, lease.body())
        except ShardLocked:
            return False
        with self._guard:
            self._held[key] = lease
            if self._beater is None or not self._beater.is_alive():
                self._beater = threading.Thread(target=self._beat, name="avvp-leases", daemon=True)
                self._beater.start()
        for number in numbers:
            self._root.remove(f"{key}.{number:06d}")
        return True

    def _numbers(self, key: str) -> list[int]:
        folder, _, name = key.rpartition("/")
        found = (entry.removeprefix(f"{name}.") for entry in self._root.names(folder, prefix=f"{name}."))
        return sorted(int(number) for number in found if number.isdigit())

    def _is_stale(self, key: str, number: int) -> bool:
        path = f"{key}.{number:06d}"
        body = self._root.read(path)
        if body is None:
            return False  # released just now: look again
        before = self._seen.get(path)
        if before is None or before[0] != body:
            self._seen[path] = (body, time.monotonic())
        elif time.monotonic() - before[1] > LEASE_SECONDS:
            return True
        return _owner_is_dead(body)

    def _is_ours(self, lease: _Held) -> bool:
        body = self._root.read(lease.path)
        return body is not None and _token(body) == lease.token

    def _beat(self) -> None:
        """Renew the leases until none is held."""
        while True:
            time.sleep(BEAT_SECONDS)
            with self._guard:
                leases = list(self._held.values())
                if not leases:
                    self._beater = None
                    return
            for lease in leases:
                # A failed renewal is ignored: the next one may succeed, or the lease runs out.
                with contextlib.suppress(Exception):
                    if self._is_ours(lease) and self._held.get(lease.key) is lease:
                        self._root.put(lease.path, lease.body())


class _Held:
    """A lease that this process holds."""

    def __init__(self, key: str, number: int) -> None:
        self.key = key
        self.number = number
        self.path = f"{key}.{number:06d}"
        self.token = uuid.uuid4().hex
        self._beats = 0

    def body(self) -> bytes:
        """The content of the lease's object, with a new number each time."""
        self._beats += 1
        return json.dumps({"token": self.token, "beat": self._beats, "process": _this_process()}).encode()


def _token(body: bytes) -> str:
    try:
        return str(json.loads(body)["token"])
    except (ValueError, KeyError, TypeError):
        return ""


def _this_process() -> dict[str, Any]:
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def _owner_is_dead(body: bytes) -> bool:
    """Whether the holder was a process of this machine and container that has ended."""
    try:
        process = json.loads(body)["process"]
        machine, pid, started = process["machine"], int(process["pid"]), process["started"]
    except (ValueError, KeyError, TypeError):
        return False
    return bool(machine) and machine == _machine() and _started(pid) != started


def _machine() -> str:
    """This boot of this machine and this namespace of process numbers; empty where Linux does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; empty where there is no such process."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state == "Z" else fields[18]
