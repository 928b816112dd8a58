"""A store's folder in an object store or any other file system that fsspec knows."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

from typing_extensions import override

from storage.errors import InvalidInput, ShardLocked, StoreError
from storage.files.lease import Leases
from storage.files.root import ByteSource, Root, crc32_of, version_of

P = ParamSpec("P")
T = TypeVar("T")
_LISTING_SECONDS = 5.0
_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "ProfileNotFound")


def _explained(method: Callable[P, T]) -> Callable[P, T]:
    """Turn exceptions of a storage service into one-line errors."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (StoreError, InvalidInput, FileExistsError):
            raise
        except Exception as problem:
            raise _in_words(args[0].url, problem) from problem  # type: ignore[attr-defined]

    return wrapped


def _in_words(url: str, problem: Exception) -> Exception:
    name, said = type(problem).__name__, str(problem) or type(problem).__name__
    if name in _CREDENTIALS:
        return InvalidInput(f"{url}: no credentials for this storage ({said}). Set AWS_PROFILE, or the service's own")
    if isinstance(problem, PermissionError):
        return InvalidInput(f"{url}: the storage refused access ({said}). Check the credentials and rights")
    if isinstance(problem, FileNotFoundError):
        return InvalidInput(f"{url}: no such bucket or folder ({said}). Make it first, or check the name")
    if isinstance(problem, OSError) or name.endswith(("ConnectionError", "TimeoutError", "ClientError")):
        return StoreError(f"{url}: the storage did not do it ({name}: {said}). Try again; committed shards are safe")
    return problem


class RemoteRoot(Root):
    """A folder in an object store, through fsspec.

    Puts are atomic there. Leases (:mod:`storage.files.lease`) keep one writer a shard; they need conditional puts.
    """

    reading_threads = 16

    def __init__(self, url: str) -> None:
        import fsspec

        super().__init__(url)
        try:
            self.files, base = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as problem:
            raise InvalidInput(f"{url}: {problem}. For s3://: pip install 'avvp-pipeline[s3]'") from problem
        except ValueError as problem:
            raise InvalidInput(f"{url}: this address cannot be opened: {problem}") from problem
        except Exception as problem:  # a service that fsspec asks at once, as FTP's
            raise _in_words(url, problem) from problem
        self.base = str(base).rstrip("/")
        self._leases = Leases(self)

    def _full(self, key: str) -> str:
        return f"{self.base}/{key}".rstrip("/")

    @override
    def zarr_store(self, *, read_only: bool) -> Any:
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(self.url, read_only=read_only)

    @override
    @_explained
    def read(self, key: str) -> bytes | None:
        try:
            return bytes(self.files.cat_file(self._full(key)))
        except (FileNotFoundError, IsADirectoryError):
            return None

    @override
    @_explained
    def put(self, key: str, data: bytes | Iterable[bytes], *, under_lock: bool = False) -> None:
        self.files.pipe_file(self._full(key), data if isinstance(data, bytes) else b"".join(data))

    @override
    @_explained
    def put_new(self, key: str, data: bytes) -> None:
        try:
            self.files.pipe_file(self._full(key), data, mode="create")
        except FileExistsError as problem:
            raise ShardLocked(f"{self.url}/{key}: another process has put this file") from problem
        except TypeError as problem:
            raise InvalidInput(
                f"{self.url}: this storage has no conditional put, without which two writers could overwrite each "
                "other. Use a local folder, s3://, gs:// or memory://"
            ) from problem

    @override
    @_explained
    def source(self, key: str) -> ByteSource | None:
        try:
            return _RemoteSource(self.files, self._full(key))
        except FileNotFoundError:
            return None

    @override
    @_explained
    def walk(self, folder: str = "") -> Iterator[tuple[str, int]]:
        found = self.files.find(self._full(folder), detail=True)
        prefix = len(self.files._strip_protocol(self.base)) + 1
        return iter([(path[prefix:], int(facts["size"])) for path, facts in sorted(found.items())])

    @override
    def version(self, folder: str) -> Hashable:
        """Changes every few seconds: a listing would cost a request each time."""
        return int(time.monotonic() / _LISTING_SECONDS)

    @override
    @_explained
    def names(self, folder: str, *, prefix: str = "") -> list[str]:
        return sorted(name for name in self._listing(folder, prefix) if name.startswith(prefix))

    @override
    @_explained
    def versions(self, folder: str) -> dict[str, int]:
        return {name: _version(facts) for name, facts in self._listing(folder, "").items()}

    @override
    @_explained
    def version_of_file(self, key: str) -> int:
        try:
            return _version(self.files.info(self._full(key)))
        except FileNotFoundError:
            return 0

    def _listing(self, folder: str, prefix: str) -> dict[str, dict[str, Any]]:
        """What lies in a folder, by name; with a prefix, files alone."""
        top = self._full(folder)
        try:
            if prefix:
                entries = list(self.files.find(top, prefix=prefix, detail=True).values())
            else:
                entries = self.files.ls(top, detail=True, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        above = self.files._strip_protocol(top).rstrip("/")
        found = ((str(facts["name"]).rstrip("/").rpartition("/"), facts) for facts in entries)
        # A file system that cannot search by prefix gives what lies in folders below, too.
        return {name: facts for (folder_of, _, name), facts in found if folder_of == above}

    @override
    @_explained
    def remove(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.files.rm(self._full(key), recursive=True)

    @override
    def sync(self, key: str) -> None:
        """Nothing to do: an object store answers a put when it is durable."""

    @override
    def bytes_and_crc32(self, key: str) -> tuple[int, int] | None:
        data = self.read(key)
        return None if data is None else (len(data), crc32_of(data))

    @override
    @_explained
    def size(self, key: str) -> int | None:
        try:
            return int(self.files.size(self._full(key)))
        except FileNotFoundError:
            return None

    @override
    def lock(self, key: str, *, patience_seconds: float = 0.0) -> contextlib.AbstractContextManager[None]:
        return self._leases.held(key, patience_seconds=patience_seconds)

    @override
    def check_lock(self, key: str) -> None:
        self._leases.check(key)

    @override
    def sweep(self, key: str, *, under_lock: bool = False) -> None:
        """Nothing to do: a killed put leaves nothing."""


def _version(facts: Mapping[str, Any]) -> int:
    """Of what a listing says: the content's digest where there is one, else when the file was made."""
    digest = facts.get("ETag") or facts.get("etag") or str(facts.get("created", ""))
    return version_of(digest, facts.get("size"))


class _RemoteSource(ByteSource):
    def __init__(self, files: Any, path: str) -> None:
        self._files = files
        self._path = path
        facts = files.info(path, refresh=True) if _takes_refresh(files) else files.info(path)
        if facts.get("type") == "directory":
            raise FileNotFoundError(path)
        self.size = int(facts["size"])
        self.identity = (facts.get("ETag") or str(facts.get("created")), self.size)
        self._data: bytes | None = None

    @override
    def read(self, offset: int, count: int) -> bytes:
        if self._data is not None:
            data = self._data[offset : offset + count]
        else:
            data = bytes(self._files.cat_file(self._path, start=offset, end=offset + count))
        if len(data) != count:
            raise StoreError(f"{self._path}: ends at byte {offset + len(data)}, expected {offset + count}")
        return data

    @override
    def fetch(self) -> None:
        self._data = self.read(0, self.size)


def _takes_refresh(files: Any) -> bool:
    return "s3" in (files.protocol if isinstance(files.protocol, (tuple, list)) else (files.protocol,))
