"""Reads tars member by member, on this machine or in a bucket, without unpacking them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from storage.closing import Closing
from storage.media.addresses import member_key
from storage.media.opening import NotFetched, fetching, open_file
from storage.media.tar_headers import BLOCK_BYTES, HeaderDamaged, HeaderReader

_FETCHED_BYTES = 16 << 10
"""Fetched with each header from a bucket: long names take several blocks."""
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True)
class TarMember:
    """A file of a tar.

    Attributes:
        name: as the tar has it.
        offset: where its bytes begin.
        size: in bytes.
    """

    name: str
    offset: int
    size: int


class TarDamaged(NotFetched):
    """A tar that cannot be read, or not to its end."""


class TarReader(Closing):
    """The files of a tar that is not compressed, in its order.

    Args:
        file: a local path, or an address in a bucket.

    Raises:
        NotFetched: If it cannot be opened.
    """

    def __init__(self, file: str) -> None:
        self._file, self._size = open_file(file, block_bytes=_FETCHED_BYTES)
        self._headers = HeaderReader(self._read)
        self._found: dict[str, TarMember] = {}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def members(self) -> Iterator[TarMember]:
        """The files behind those that have been read already. Folders, links and the like are no files.

        Raises:
            TarDamaged: Where the tar cannot be read any further.
            NotFetched: If the storage fails.
        """
        while True:
            try:
                header = self._headers.next()
            except HeaderDamaged:
                raise TarDamaged(self._damage()) from None
            if header is None:
                return
            if header.is_file:
                member = TarMember(header.name, header.offset, header.size)
                self._found.setdefault(member_key(member.name), member)
                yield member

    def _damage(self) -> str:
        first = self._read(0, 8)
        for magic, name in _COMPRESSED.items():
            if first.startswith(magic):
                return f"the tar is compressed ({name}), so that no file of it can be read alone. Unpack it"
        where = self._headers.offset
        if not where:
            return "this is no tar, or a damaged one" if self._size else "the tar is empty (0 bytes)"
        return "the tar is cut off" if where + BLOCK_BYTES > self._size else "the tar is damaged"

    def find(self, name: str) -> TarMember | None:
        """A file by its name; the first of several. ``None`` where the tar has none of it.

        Raises:
            TarDamaged: If the tar cannot be read up to there.
            NotFetched: If the storage fails.
        """
        key = member_key(name)
        if key not in self._found:
            next((member for member in self.members() if member_key(member.name) == key), None)
        return self._found.get(key)

    def chunks(self, member: TarMember, *, chunk_bytes: int) -> Iterator[bytes]:
        """The bytes of a file.

        Raises:
            TarDamaged: If the tar ends before the file does.
            NotFetched: If the storage fails.
        """
        done = 0
        while done < member.size:
            data = self._read(member.offset + done, min(member.size - done, chunk_bytes))
            if not data:
                raise TarDamaged(f"the tar ends in the middle of this file, after {done:,} of {member.size:,} bytes")
            done += len(data)
            yield data

    def _read(self, offset: int, count: int) -> bytes:
        with fetching():
            self._file.seek(offset)
            return self._file.read(count)
