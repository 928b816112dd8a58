"""A store's folder, local or remote: durable puts, locks, listing. The only module that knows which it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
import uuid
import zlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import override

from storage.errors import ShardLocked, StoreError

_BLOCK_BYTES = 1 << 20
_LOCK_POLL_SECONDS = 0.05
_SETTLED_NS = 2_000_000_000


def crc32_of(data: bytes, before: int = 0) -> int:
    """CRC-32 as the ledger records it; ``before`` is that of the bytes before these."""
    return zlib.crc32(data, before) & 0xFFFFFFFF


class ByteSource(ABC):
    """A file that is open for reading at any place, by any thread.

    Attributes:
        size: in bytes.
        identity: changes whenever the file is replaced.
    """

    size: int
    identity: Hashable

    @abstractmethod
    def read(self, offset: int, count: int) -> bytes:
        """Bytes from a place in the file.

        Raises:
            StoreError: If the file ends before.
        """

    def fetch(self) -> None:  # noqa: B027 - most need none
        """Most of the file will be read: bring it here at once, where that pays."""

    def close(self) -> None:  # noqa: B027 - most need none
        """Let go of the file."""

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Root(ABC):
    """A folder addressed by keys with ``/``.

    Attributes:
        url: as the user wrote it, for messages.
        reading_threads: how many reads at once pay here.
    """

    reading_threads: int = max(1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4))

    def __init__(self, url: str) -> None:
        self.url = url

    @staticmethod
    def at(url: str | os.PathLike[str]) -> Root:
        """The root for a local path or an fsspec URL such as ``s3://bucket/llp.zarr`` or ``memory://x``."""
        text = os.fspath(url)
        if "://" not in text:
            return LocalRoot(text)
        if urlsplit(text).scheme == "file":
            return LocalRoot(text.removeprefix("file://"))
        from storage.remote import RemoteRoot

        return RemoteRoot(text)

    @abstractmethod
    def zarr_store(self, *, read_only: bool) -> Any:
        """A zarr store on this folder."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """The file's bytes, or ``None`` where there is none."""

    @abstractmethod
    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        """Write a file at once and durably: a reader sees the old file or the new one, also after a power cut.

        Args:
            key: of the file.
            data: its bytes, or parts of them one after the other.
        """

    def put_new(self, key: str, data: bytes) -> None:
        """As :meth:`put`, for a file that must not be there yet. Under a local lock nobody else can have put it.

        Raises:
            ShardLocked: If it is there.
        """
        self.put(key, data)

    @abstractmethod
    def source(self, key: str) -> ByteSource | None:
        """Open a file for reading at any place, or ``None`` where there is none."""

    @abstractmethod
    def walk(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """Every file below a folder: its key and its size in bytes."""

    @abstractmethod
    def version(self, folder: str) -> Hashable:
        """Equal for two calls only if no file was added to the folder or taken from it in between."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Names of the files and folders in a folder, sorted; empty where there is none."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove a file or a whole folder if it is there."""

    @abstractmethod
    def sync(self, key: str) -> None:
        """Make a written file durable."""

    @abstractmethod
    def bytes_and_crc32(self, key: str) -> tuple[int, int] | None:
        """Size and CRC-32 of a file as it lies there, or ``None``."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Size of a file in bytes, or ``None`` where there is none."""

    def tree_bytes(self, folder: str) -> int:
        """Bytes of all files below a folder."""
        return sum(size for _, size in self.walk(folder))

    @abstractmethod
    def lock(self, key: str, *, patience_seconds: float = 0.0) -> contextlib.AbstractContextManager[None]:
        """Hold a lock that dies with its process.

        Args:
            key: of the lock file.
            patience_seconds: how long to wait for another process that holds it.

        Raises:
            ShardLocked: If another process holds it still.
        """

    def check_lock(self, key: str) -> None:  # noqa: B027 - a flock cannot be lost
        """Look whether a lock that was taken is still ours; a local one cannot be lost.

        Raises:
            ShardLocked: If it is not.
        """

    @abstractmethod
    def sweep(self, key: str) -> None:
        """Remove what killed writes of this file left beside it. The caller holds the lock under which it is written.

        Files of other shards may lie in the same folder, half written by others now: those stay.
        """


class LocalRoot(Root):
    """A folder on a local or network disk."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.path = Path(url).expanduser().absolute()

    @override
    def zarr_store(self, *, read_only: bool) -> Any:
        from zarr.storage import LocalStore

        return LocalStore(self.path, read_only=read_only)

    @override
    def read(self, key: str) -> bytes | None:
        try:
            return (self.path / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    @override
    def put(self, key: str, data: bytes | Iterable[bytes]) -> None:
        target = self.path / key
        made = _make_folders(target.parent)
        temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex}.partial")
        try:
            with temporary.open("wb") as file:
                file.writelines([data] if isinstance(data, bytes) else data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        for folder in (target.parent, *made):
            _sync_folder(folder)

    @override
    def source(self, key: str) -> ByteSource | None:
        try:
            return _LocalSource(self.path / key)
        except (FileNotFoundError, NotADirectoryError):
            return None

    @override
    def walk(self, folder: str = "") -> Iterator[tuple[str, int]]:
        top = self.path / folder
        for path, _, names in os.walk(top):
            for name in sorted(names):
                file = Path(path) / name
                with contextlib.suppress(FileNotFoundError):
                    yield file.relative_to(self.path).as_posix(), file.stat().st_size

    @override
    def version(self, folder: str) -> Hashable:
        try:
            changed = (self.path / folder).stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return None
        # Clocks of file systems tick slowly: two changes within a tick look like one.
        settled = time.time_ns() - changed > _SETTLED_NS
        return changed if settled else (changed, uuid.uuid4().hex)

    @override
    def names(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self.path / folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    @override
    def remove(self, key: str) -> None:
        target = self.path / key
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    @override
    def sync(self, key: str) -> None:
        target = self.path / key
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folder = target.parent
        while folder != self.path.parent:
            _sync_folder(folder)
            folder = folder.parent

    @override
    def bytes_and_crc32(self, key: str) -> tuple[int, int] | None:
        size = crc = 0
        try:
            with (self.path / key).open("rb") as file:
                while block := file.read(_BLOCK_BYTES):
                    size += len(block)
                    crc = zlib.crc32(block, crc)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return size, crc & 0xFFFFFFFF

    @override
    def size(self, key: str) -> int | None:
        try:
            return (self.path / key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    @override
    @contextlib.contextmanager
    def lock(self, key: str, *, patience_seconds: float = 0.0) -> Iterator[None]:
        target = self.path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        give_up = time.monotonic() + patience_seconds
        while (descriptor := _open_locked(target)) is None:
            if time.monotonic() >= give_up:
                raise ShardLocked(f"{target}: another process is writing this shard")
            time.sleep(_LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            target.unlink(missing_ok=True)
            os.close(descriptor)

    @override
    def sweep(self, key: str) -> None:
        target = self.path / key
        for leftover in target.parent.glob(f"{target.name}.*.partial"):
            leftover.unlink(missing_ok=True)


class _LocalSource(ByteSource):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        facts = os.fstat(self._descriptor)
        self.size = facts.st_size
        self.identity = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)

    @override
    def read(self, offset: int, count: int) -> bytes:
        data = os.pread(self._descriptor, count, offset)
        while len(data) < count:  # signals, network disks, and reads of over 2 GiB come short
            more = os.pread(self._descriptor, count - len(data), offset + len(data))
            if not more:
                raise StoreError(f"{self._path}: ends at byte {offset + len(data)}, expected {offset + count}")
            data += more
        return data

    @override
    def close(self) -> None:
        os.close(self._descriptor)


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder; returns the folders that a new one was made in, which must be synced too."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
    return [new.parent for new in missing]


def _open_locked(target: Path) -> int | None:
    """Open and ``flock`` a lock file. Holders remove it, so check that ours is still the one on the disk."""
    while True:
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), target.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
