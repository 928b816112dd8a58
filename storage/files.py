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
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from typing_extensions import override

from storage.errors import ShardLocked

_BLOCK_BYTES = 1 << 20
_LOCK_POLL_SECONDS = 0.05


def crc32_of(data: bytes) -> int:
    """CRC-32 as the ledger records it."""
    return zlib.crc32(data) & 0xFFFFFFFF


class Root(ABC):
    """A folder addressed by keys with ``/``.

    Attributes:
        url: as the user wrote it, for messages.
    """

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
    def put(self, key: str, data: bytes) -> None:
        """Write a file at once and durably: a reader sees the old file or the new one, also after a power cut."""

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

    @abstractmethod
    def tree_bytes(self, folder: str) -> int:
        """Bytes of all files below a folder."""

    @abstractmethod
    def lock(self, key: str, *, patience_seconds: float = 0.0) -> contextlib.AbstractContextManager[None]:
        """Hold a lock that dies with its process.

        Args:
            key: of the lock file.
            patience_seconds: how long to wait for another process that holds it.

        Raises:
            ShardLocked: If another process holds it still.
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
    def put(self, key: str, data: bytes) -> None:
        target = self.path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex}.partial")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        _sync_folder(target.parent)

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
    def tree_bytes(self, folder: str) -> int:
        return sum(entry.stat().st_size for entry in (self.path / folder).rglob("*") if entry.is_file())

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
