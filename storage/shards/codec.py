"""Encodes and decodes chunks of Zarr arrays with numcodecs, as zarr-python does.

zarr-python reads these chunks, and its chunks are read here; a test checks both. zarr-python itself takes 2.4 ms of
Python for each chunk beside the codec.

Earlier releases wrote Blosc's frames by hand, with a smaller search table for zstd. One core, float32, size ratio and
clips/s encoded and decoded, by hand and with numcodecs 0.16.6:

- 80x2048, post-ReLU: 0.60, 620 and 1,610 by hand; 0.62, 515 and 1,520 with numcodecs.
- 80x2048, noise: 0.85, 1,500 and 3,200 by hand; 0.86, 810 and 2,500 with numcodecs.
- 10x512, post-ReLU: 0.66, 14,900 and 28,500 by hand; 0.65, 8,900 and 27,800 with numcodecs.
- 10x512, noise: 0.93, 19,000 and 24,900 by hand; 0.93, 21,300 and 29,900 with numcodecs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import Blosc, Zstd
from numpy.typing import NDArray

from storage.errors import InvalidInput, StoreError

CODECS = ("auto", "blosc", "zstd", "none")
"""Names that a caller may choose from."""
CHECKSUM_BYTES = 4
"""Of the crc32c behind every chunk and every index."""
_RESIDUE = 0x48674BC7
_SUPPORTED = "bytes (little endian), then blosc, zstd or nothing, then crc32c"
_CHAINS = (["bytes", "blosc", "crc32c"], ["bytes", "zstd", "crc32c"], ["bytes", "crc32c"])
_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
_BLOSC_HEADER_BYTES = 16
_LARGEST_BLOSC_BYTES = 2**31 - 1 - _BLOSC_HEADER_BYTES


def codecs(name: str = "zstd", *, itemsize: int = 1, chunk_bytes: int = 0) -> list[Any]:
    """Codecs of a chunk: Blosc (shuffle and zstd 1), zstd 1 or none, then a crc32c that readers check.

    Args:
        name: ``blosc``, ``zstd`` or ``none``.
        itemsize: bytes of a number, which Blosc shuffles by.
        chunk_bytes: of a plain chunk, which Blosc takes as one block: 1.6 times as fast as blocks of its own choice,
            and 4 % smaller.

    Raises:
        InvalidInput: If there is no such codec.
    """
    from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec  # reading needs no zarr

    if name not in CODECS[1:]:
        raise InvalidInput(f"codec {name!r}: expected one of {', '.join(CODECS)}")
    compressors: dict[str, list[Any]] = {
        "blosc": [BloscCodec(typesize=itemsize, cname="zstd", clevel=1, shuffle="shuffle", blocksize=chunk_bytes)],
        "zstd": [ZstdCodec(level=1)],
        "none": [],
    }
    return [*compressors[name], Crc32cCodec()]


class ChunkCodec:
    """Encodes and decodes chunks. Safe to use from several threads.

    Args:
        codecs: as in ``zarr.json``, of the chunk itself.
        chunk_bytes: of a plain chunk. Blosc packs it as one block, unless the metadata names another block size.
        where: the array, for messages.

    Raises:
        StoreError: If it is another chain of codecs.
    """

    def __init__(self, codecs: Sequence[Mapping[str, Any]], *, chunk_bytes: int, where: str) -> None:
        self._where = where
        names = [str(codec["name"]) for codec in codecs]
        if names not in _CHAINS:
            raise StoreError(f"{where}: has the codecs {names}, expected {_SUPPORTED}. Read it with zarr-python")
        endian = codecs[0].get("configuration", {}).get("endian", "little")
        if endian != "little":
            raise StoreError(f"{where}: is {endian} endian, expected {_SUPPORTED}. Read it with zarr-python")
        self._blosc = _blosc(codecs[1]["configuration"], chunk_bytes) if "blosc" in names else None
        self._zstd = Zstd(level=int(codecs[1]["configuration"]["level"])) if "zstd" in names else None

    def encode(self, block: NDArray[Any]) -> list[bytes]:
        """Encode a chunk.

        Returns:
            The parts of the chunk in order; the last is the checksum. They are not joined, which would copy them.

        Raises:
            StoreError: If it is larger than the 2 GiB that Blosc takes.
        """
        payload = self._compressed(np.ascontiguousarray(block))
        return [payload, checksum(payload)]

    def _compressed(self, plain: NDArray[Any]) -> bytes:
        if self._blosc is not None:
            if plain.nbytes > _LARGEST_BLOSC_BYTES:
                raise StoreError(
                    f"{self._where}: a chunk of {plain.nbytes} bytes, Blosc takes {_LARGEST_BLOSC_BYTES}. "
                    "Use codec zstd"
                )
            return bytes(self._blosc.encode(plain))
        return bytes(self._zstd.encode(plain)) if self._zstd is not None else plain.tobytes()

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
        try:
            if self._blosc is not None:
                self._check_size(_plain_bytes(payload), flat)
                self._blosc.decode(payload, flat)
                return
            plain = payload if self._zstd is None else self._zstd.decode(payload)
        except (RuntimeError, ValueError) as problem:
            raise StoreError(f"{self._where}: a chunk cannot be decompressed: {problem}") from problem
        self._check_size(len(plain), flat)
        flat[:] = np.frombuffer(plain, dtype=np.uint8)

    def _check_size(self, count: int, flat: NDArray[np.uint8]) -> None:
        if count != len(flat):
            raise StoreError(f"{self._where}: a chunk has {count} bytes, expected {len(flat)}")


def _blosc(configuration: Mapping[str, Any], chunk_bytes: int) -> Any:
    return Blosc(
        cname=configuration["cname"],
        clevel=int(configuration["clevel"]),
        shuffle=_SHUFFLES[configuration["shuffle"]],
        blocksize=int(configuration.get("blocksize", 0)) or min(chunk_bytes, _LARGEST_BLOSC_BYTES),
    )


def _plain_bytes(payload: memoryview) -> int:
    """How many bytes a Blosc chunk decodes to, from its header."""
    if len(payload) < _BLOSC_HEADER_BYTES:
        raise ValueError(f"{len(payload)} bytes are less than a header")
    return int.from_bytes(payload[4:8], "little")


def checksum(payload: bytes) -> bytes:
    """The crc32c that follows a payload, little endian."""
    return int(google_crc32c.value(payload)).to_bytes(CHECKSUM_BYTES, "little")


def verify_checksum(data: bytes, *, where: str) -> None:
    """Check a payload that is followed by its own crc32c.

    Raises:
        StoreError: If the checksum is wrong.
    """
    # The crc32c of a message and its own crc32c is the same number for every message: no copy to cut it off.
    if len(data) < CHECKSUM_BYTES or google_crc32c.value(data) != _RESIDUE:
        raise StoreError(f"{where}: a chunk's crc32c is wrong: its bytes were changed. Run: avvp verify --deep")
