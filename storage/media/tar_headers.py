"""Reads the headers of a tar: ustar, GNU's and POSIX's (pax), as much of them as tells files apart.

Python's tarfile takes three times as long and keeps each header, takes a damaged one for the end of the tar, and reads
one of any length into memory. A million clips are a million headers, and twice as many where WebDataset wrote them.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar's manual, "Basic Tar
Format".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BLOCK_BYTES = 512
_END = bytes(BLOCK_BYTES)
_LONGEST_BYTES = 1 << 20
"""Names and records are shorter: longer ones are damage, or want memory."""
_USTAR = b"ustar\x00"
_FILES = (b"0", b"\x00", b"7")
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
"""Links, devices, folders, FIFOs. The size of a link is that of the file that it leads to."""
_RECORDS, _COMMON_RECORDS, _LONG_NAME, _LONG_LINK, _SPARSE = b"x", b"g", b"L", b"K", b"S"
_MORE_OF_SPARSE, _MORE_AFTER = 482, 504


class HeaderDamaged(Exception):
    """What is no header stands where one should."""


@dataclass(frozen=True)
class Header:
    """One entry of a tar.

    Attributes:
        name: as the tar has it; bytes that are not UTF-8 are surrogates.
        offset: where its bytes begin.
        size: of them.
        is_file: whether it is a plain file: no folder, link, device or file with holes.
    """

    name: str
    offset: int
    size: int
    is_file: bool


class HeaderReader:
    """The headers of a tar in their order.

    Args:
        read: the bytes at an offset, of a count; fewer at the file's end.

    Attributes:
        offset: of the next header.
    """

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self.offset = 0

    def next(self) -> Header | None:
        """The next entry; ``None`` at the end, which is a block of zeros.

        Raises:
            HeaderDamaged: If there is neither.
        """
        at, name, records = self.offset, b"", dict[bytes, bytes]()
        while (block := self._read(at, BLOCK_BYTES)) != _END:
            kind, size = _checked(block)
            at += BLOCK_BYTES
            if kind in (_RECORDS, _LONG_NAME, _LONG_LINK, _COMMON_RECORDS):
                data = self._data(at, size)
                at += padded(size)
                if kind == _RECORDS:
                    records = _parsed(data)
                elif kind == _LONG_NAME:
                    name = data.partition(b"\0")[0]
                continue
            header, self.offset = self._entry(block, at, size, name, records)
            return header
        if name or records:
            raise HeaderDamaged
        return None

    def _data(self, at: int, size: int) -> bytes:
        if size > _LONGEST_BYTES:
            raise HeaderDamaged
        data = self._read(at, size)
        if len(data) < size:
            raise HeaderDamaged
        return data

    def _entry(
        self, block: bytes, at: int, size: int, long_name: bytes, records: dict[bytes, bytes]
    ) -> tuple[Header, int]:
        """An entry whose bytes begin at ``at``, and the place of the header behind it."""
        kind = block[156:157]
        raw = records.get(b"path") or long_name or _name(block)
        name = raw.decode("utf-8", "surrogateescape")
        if kind in _WITHOUT_DATA:
            return Header(name, at, 0, is_file=False), at
        if b"size" in records:
            size = _decimal(records[b"size"])
        more = kind == _SPARSE and block[_MORE_OF_SPARSE] != 0
        while more:
            extension = self._data(at, BLOCK_BYTES)
            more = extension[_MORE_AFTER] != 0
            at += BLOCK_BYTES
        has_holes = any(key.startswith(b"GNU.sparse") for key in records)
        is_file = kind in _FILES and not has_holes and not name.endswith("/")
        return Header(name, at, size, is_file=is_file), at + padded(size)


def padded(size: int) -> int:
    """Bytes that a file of this size takes in a tar."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _checked(block: bytes) -> tuple[bytes, int]:
    """The kind and the size of what a header announces, if its checksum is right."""
    if len(block) != BLOCK_BYTES:
        raise HeaderDamaged
    if sum(block[:148]) + sum(block[156:]) + 8 * ord(" ") != _number(block[148:156]):
        raise HeaderDamaged
    return block[156:157], _number(block[124:136])


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary numbers where the first bit is set. Sizes below 0 are damage."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.partition(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        raise HeaderDamaged from None


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise HeaderDamaged
    return int(text)


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == _USTAR and block[345]:
        return block[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _parsed(data: bytes) -> dict[bytes, bytes]:
    """Records of the form ``<length> <key>=<value>`` and a line feed; the length is that of the whole record."""
    found = {}
    at = 0
    while at < len(data):
        digits = data[at : at + 21].partition(b" ")[0]
        length = _decimal(digits)
        record = data[at : at + length]
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        if not equals or not value.endswith(b"\n") or len(record) < length:
            raise HeaderDamaged
        found[key] = value[:-1]
        at += length
    return found
