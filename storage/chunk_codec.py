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

_CHECKSUM_BYTES = 4
_RESIDUE = 0x48674BC7
_SUPPORTED = "bytes (little endian), then zstd or nothing, then crc32c"


class ChunkCodec:
    """Encodes and decodes chunks.

    Args:
        codecs: as in ``zarr.json``, of the chunk itself.
        where: the array, for messages.

    Raises:
        StoreError: If a codec is not among ours.
    """

    def __init__(self, codecs: Sequence[Mapping[str, Any]], *, where: str) -> None:
        self._where = where
        names = [str(codec["name"]) for codec in codecs]
        if names not in (["bytes", "zstd", "crc32c"], ["bytes", "crc32c"]):
            raise StoreError(f"{where}: the codecs {names} are not ours; expected {_SUPPORTED}. Read it with zarr")
        endian = codecs[0].get("configuration", {}).get("endian", "little")
        if endian != "little":
            raise StoreError(f"{where}: is {endian} endian; expected {_SUPPORTED}. Read it with zarr")
        self.level: int | None = int(codecs[1]["configuration"]["level"]) if names[1] == "zstd" else None

    def encode(self, block: NDArray[Any]) -> tuple[bytes, bytes]:
        """A chunk's bytes: the payload, and the checksum that follows it (apart, since joining them would copy)."""
        from numcodecs import zstd

        plain = np.ascontiguousarray(block)
        payload: bytes = plain.tobytes() if self.level is None else zstd.compress(plain, self.level)
        return payload, checksum(payload)

    def decode(self, data: bytes, out: NDArray[Any]) -> None:
        """Check and decode a chunk.

        Args:
            data: its bytes.
            out: C-contiguous, of the chunk's shape and dtype.

        Raises:
            StoreError: If the checksum is wrong or the size is not ``out``'s.
        """
        verify_checksum(data, where=self._where)
        payload = memoryview(data)[:-_CHECKSUM_BYTES]
        flat = out.reshape(-1).view(np.uint8)
        if self.level is None:
            if len(payload) != len(flat):
                raise StoreError(f"{self._where}: a chunk has {len(payload)} bytes, expected {len(flat)}")
            flat[:] = np.frombuffer(payload, dtype=np.uint8)
            return
        from numcodecs import zstd

        try:
            zstd.decompress(payload, flat)
        except (RuntimeError, ValueError) as problem:
            raise StoreError(f"{self._where}: a chunk cannot be decompressed: {problem}") from problem


def checksum(payload: bytes) -> bytes:
    """The crc32c that follows a payload, little endian."""
    return int(google_crc32c.value(payload)).to_bytes(_CHECKSUM_BYTES, "little")


def verify_checksum(data: bytes, *, where: str) -> None:
    """Check a payload that is followed by its own crc32c.

    Raises:
        StoreError: If the checksum is wrong.
    """
    # The crc32c of a message and its own crc32c is the same number for every message: no copy to cut it off.
    if len(data) < _CHECKSUM_BYTES or google_crc32c.value(data) != _RESIDUE:
        raise StoreError(f"{where}: a chunk's crc32c is wrong: its bytes were changed. Run: avvp verify --deep")
