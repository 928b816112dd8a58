"""A store's folder in an object store or any other file system that fsspec knows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from typing_extensions import override

from storage.errors import InvalidInput
from storage.files import Root, crc32_of


class RemoteRoot(Root):
    """A folder in an object store, through fsspec. Puts are atomic there; ownership of shards is by plan."""

    def __init__(self, url: str) -> None:
        import fsspec

        super().__init__(url)
        try:
            self.files, self.base = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as problem:
            raise InvalidInput(f"{url}: this address cannot be opened: {problem}") from problem

    def _full(self, key: str) -> str:
        return f"{self.base.rstrip('/')}/{key}"

    @override
    def zarr_store(self, *, read_only: bool) -> Any:
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(self.url, read_only=read_only)

    @override
    def read(self, key: str) -> bytes | None:
        try:
            return bytes(self.files.cat_file(self._full(key)))
        except (FileNotFoundError, IsADirectoryError):
            return None

    @override
    def put(self, key: str, data: bytes) -> None:
        self.files.pipe_file(self._full(key), data)

    @override
    def names(self, folder: str) -> list[str]:
        try:
            entries = self.files.ls(self._full(folder), detail=False, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in entries)

    @override
    def remove(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.files.rm(self._full(key), recursive=True)

    @override
    def sync(self, key: str) -> None:
        """Object stores answer a put when it is durable."""

    @override
    def bytes_and_crc32(self, key: str) -> tuple[int, int] | None:
        data = self.read(key)
        return None if data is None else (len(data), crc32_of(data))

    @override
    def size(self, key: str) -> int | None:
        try:
            return int(self.files.size(self._full(key)))
        except FileNotFoundError:
            return None

    @override
    def tree_bytes(self, folder: str) -> int:
        return int(self.files.du(self._full(folder), total=True))

    @override
    @contextlib.contextmanager
    def lock(self, key: str, *, patience_seconds: float = 0.0) -> Iterator[None]:
        yield

    @override
    def sweep(self, key: str) -> None:
        """A killed put leaves nothing."""
