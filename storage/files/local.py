"""A store's folder on a local or network disk."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import stat
import time
import uuid
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from typing_extensions import override

from storage.errors import InvalidInput, ShardLocked, StoreError
from storage.files.root import ByteSource, Root, crc32_of, version_of

_BLOCK_BYTES = 1 << 20
_WRITE_BYTES = 1 << 20
_WRITEBACK_BYTES = 16 << 20
_SYNC_FILE_RANGE_WRITE = 2
_LIBC = ctypes.CDLL(None) if os.name == "posix" else None
_LOCK_POLL_SECONDS = 0.05
_SETTLED_NS = 2_000_000_000


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
    def put(self, key: str, data: bytes | Iterable[bytes], *, under_lock: bool = False) -> None:
        target = self.path / key
        made = _make_folders(target.parent)
        middle = "" if under_lock else f".{uuid.uuid4().hex}"
        with written_whole(target, target.with_name(f"{target.name}{middle}.partial")) as file:
            file.writelines([data] if isinstance(data, bytes) else _written_back(file, data))
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
    def names(self, folder: str, *, prefix: str = "") -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.path / folder) if name.startswith(prefix))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []

    @override
    def versions(self, folder: str) -> dict[str, int]:
        found = {}
        try:
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                        found[entry.name] = _version(entry.stat())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return found

    @override
    def version_of_file(self, key: str) -> int:
        try:
            return _version((self.path / key).stat())
        except (FileNotFoundError, NotADirectoryError):
            return 0

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
                    crc = crc32_of(block, crc)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return size, crc

    @override
    def size(self, key: str) -> int | None:
        try:
            facts = (self.path / key).stat()
            return None if stat.S_ISDIR(facts.st_mode) else facts.st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    @override
    @contextlib.contextmanager
    def lock(self, key: str, *, patience_seconds: float = 0.0) -> Iterator[None]:
        target = self.path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        give_up = time.monotonic() + patience_seconds
        while (descriptor := open_locked(target)) is None:
            if time.monotonic() >= give_up:
                raise ShardLocked(f"{target}: another process is writing this shard")
            time.sleep(_LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            target.unlink(missing_ok=True)
            os.close(descriptor)

    @override
    def sweep(self, key: str, *, under_lock: bool = False) -> None:
        target = self.path / key
        if under_lock:
            target.with_name(f"{target.name}.partial").unlink(missing_ok=True)
            return
        for leftover in target.parent.glob(f"{target.name}.*partial"):
            leftover.unlink(missing_ok=True)


def _version(facts: os.stat_result) -> int:
    return version_of(facts.st_ino, facts.st_size, facts.st_mtime_ns)


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


def _written_back(file: IO[bytes], parts: Iterable[bytes]) -> Iterator[bytes]:
    """Pass parts on to a file, and write early ones to disk while later ones are made, so that the last fsync is short.

    An optimisation only: nothing happens on systems without the call.
    """
    begin = getattr(_LIBC, "sync_file_range", None)
    begun = passed = 0
    for part in parts:
        yield part
        passed += len(part)
        if begin is not None and passed - begun >= _WRITEBACK_BYTES:
            begin(file.fileno(), ctypes.c_int64(begun), ctypes.c_int64(passed - begun), _SYNC_FILE_RANGE_WRITE)
            begun = passed


def _make_folders(folder: Path) -> list[Path]:
    """Create a folder. Returns the parents of new folders, which must be synced too."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
    return [new.parent for new in missing]


@contextlib.contextmanager
def written_whole(target: Path, temporary: Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes its place when the block ends; after an error the old one stays.

    Args:
        target: its place.
        temporary: where it is until then, in the same folder.
    """
    try:
        with temporary.open("wb", buffering=_WRITE_BYTES) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def open_locked(target: Path) -> int | None:
    """Open and ``flock`` a lock file. Holders remove it, so check that ours is still the one on disk.

    Returns:
        The descriptor that holds the lock; ``None`` while another process does.

    Raises:
        InvalidInput: If the file system has no locks.
    """
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
        except OSError as problem:
            os.close(descriptor)
            raise no_locks(target, problem) from problem
        os.close(descriptor)


def no_locks(target: Path, problem: OSError) -> InvalidInput:
    """What to say of a file system that refuses ``flock``, as some network disks do."""
    return InvalidInput(
        f"{target}: this disk gives no locks ({problem.strerror}), without which two writers could overwrite each "
        "other. Use another disk, or mount it with locks (NFS: without nolock)"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
