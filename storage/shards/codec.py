"""One chunk of a Zarr array to bytes and back: the codecs that our arrays use, without zarr's machinery around them.

What is written here, zarr reads, and the other way round; a test holds that. Zarr's Python takes 2.4 ms a chunk beside
the codec; this takes none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from storage.errors import StoreError
from storage.shards import blosc_frame
from storage.shards.blosc_frame import BloscEncoder

CHECKSUM_BYTES = 4
"""Of the crc32c behind every chunk and every index."""
_RESIDUE = 0x48674BC7
_SUPPORTED = "bytes (little endian), then blosc, zstd or nothing, then crc32c"
_CHAINS = (["bytes", "blosc", "crc32c"], ["bytes", "zstd", "crc32c"], ["bytes", "crc32c"])


class ChunkCodec:
    """Encodes and decodes chunks.

    Args:
        codecs: as in ``zarr.json``, of the chunk itself.
        dtype: of its values.
        where: the array, for messages.

    Raises:
        StoreError: If a codec is not among ours.
    """

    def __init__(self, codecs: Sequence[Mapping[str, Any]], dtype: np.dtype[Any], *, where: str) -> None:
        self._where = where
        names = [str(codec["name"]) for codec in codecs]
        if names not in _CHAINS:
            raise StoreError(f"{where}: the codecs {names} are not ours; expected {_SUPPORTED}. Read it with zarr")
        endian = codecs[0].get("configuration", {}).get("endian", "little")
        if endian != "little":
            raise StoreError(f"{where}: is {endian} endian; expected {_SUPPORTED}. Read it with zarr")
        self._compression = names[1] if len(names) == len(_CHAINS[0]) else ""
        self._level = int(codecs[1]["configuration"]["level"]) if self._compression == "zstd" else 0
        self._blosc = BloscEncoder(dtype) if self._compression == "blosc" else None

    def encode(self, block: NDArray[Any]) -> list[bytes]:
        """A chunk's bytes, in parts that follow each other (joining them would copy); the last is the checksum."""
        parts = self._compressed(np.ascontiguousarray(block))
        crc = 0
        for part in parts:
            crc = google_crc32c.extend(crc, part)
        return [*parts, _packed(crc)]

    def _compressed(self, plain: NDArray[Any]) -> list[bytes]:
        from numcodecs import zstd

        if self._blosc is not None:
            return self._blosc.encode(plain)
        return [zstd.compress(plain, self._level) if self._compression else plain.tobytes()]

    def decode(self, data: bytes, out: NDArray[Any]) -> None:
        """Check and decode a chunk.

        Args:
            data: its bytes.
            out: C-contiguous, of the chunk's shape and dtype.

        Raises:
            StoreError: If the checksum is wrong or the size is not ``out``'s.
        """
        verify_checksum(data, where=self._where)
        payload = memoryview(data)[:-CHECKSUM_BYTES]
        flat = out.reshape(-1).view(np.uint8)
        if not self._compression:
            if len(payload) != len(flat):
                raise StoreError(f"{self._where}: a chunk has {len(payload)} bytes, expected {len(flat)}")
            flat[:] = np.frombuffer(payload, dtype=np.uint8)
            return
        from numcodecs import zstd

        try:
            blosc_frame.decode(payload, flat) if self._blosc is not None else zstd.decompress(payload, flat)
        except (RuntimeError, ValueError) as problem:
            raise StoreError(f"{self._where}: a chunk cannot be decompressed: {problem}") from problem


def checksum(payload: bytes) -> bytes:
    """The crc32c that follows a payload, little endian."""
    return _packed(google_crc32c.value(payload))


def _packed(crc: int) -> bytes:
    return int(crc).to_bytes(CHECKSUM_BYTES, "little")


def verify_checksum(data: bytes, *, where: str) -> None:
    """Check a payload that is followed by its own crc32c.

    Raises:
        StoreError: If the checksum is wrong.
    """
    # The crc32c of a message and its own crc32c is the same number for every message: no copy to cut it off.
    if len(data) < CHECKSUM_BYTES or google_crc32c.value(data) != _RESIDUE:
        raise StoreError(f"{where}: a chunk's crc32c is wrong: its bytes were changed. Run: avvp verify --deep")
