"""Chunks in Blosc's format, as any Blosc reads them: bytes sorted by their place in a number, then zstd.

Features after a ReLU are zeros and numbers whose low bytes are noise. Sorted by place, the low bytes are left to zstd's
entropy coder, for which its search for repeats is in the way: a table of 64 entries searches least and comes out
smallest. Blosc's own encoder does not let its caller choose that, and takes about 1.6 times as long.
"""

from __future__ import annotations

import struct
import threading
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from storage.errors import StoreError

_HEADER = struct.Struct("<BBBBIII")
_FORMAT_VERSION = 2
_ZSTD_VERSION = 1
_SHUFFLED = 0x01
_STORED = 0x02
_ONE_STREAM = 0x10
_ZSTD = 4 << 5
_BLOCK = struct.Struct("<Ii")
_LARGEST_BYTES = 2**31 - 1 - _HEADER.size
_FAST = 1
_WINDOW_LOG = 17
_HASH_LOG = 6
_LONGEST_SHORTEST_MATCH = 7
_WORD = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class BloscEncoder:
    """Encodes chunks; safe to use from several threads, each of which keeps its compressor and its buffers.

    Args:
        dtype: of the numbers; 1, 2, 4 or 8 bytes each.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._word = np.dtype(_WORD[dtype.itemsize])
        self._local = threading.local()

    def encode(self, block: NDArray[Any]) -> list[bytes]:
        """A chunk, in parts that follow each other.

        Args:
            block: C-contiguous.

        Raises:
            StoreError: If it is larger than Blosc's 2 GiB.
        """
        size = block.nbytes
        if size > _LARGEST_BYTES:
            raise StoreError(f"a chunk of {size} bytes: Blosc holds {_LARGEST_BYTES}. Use codec zstd")
        flags = _ZSTD | _ONE_STREAM | _SHUFFLED
        payload: bytes = self._compressor().compress(self._by_place(block))
        start = _HEADER.size + _BLOCK.size
        if start + len(payload) >= _HEADER.size + size:
            return [self._header(flags | _STORED, size, _HEADER.size + size), block.tobytes()]
        where = _BLOCK.pack(start - 4, len(payload))
        return [self._header(flags, size, start + len(payload)) + where, payload]

    def _header(self, flags: int, size: int, whole: int) -> bytes:
        return _HEADER.pack(_FORMAT_VERSION, _ZSTD_VERSION, flags, self._word.itemsize, size, size, whole)

    def _by_place(self, block: NDArray[Any]) -> NDArray[np.uint8]:
        """All lowest bytes, then all second bytes, and so on: ``[bytes a number, numbers]``."""
        words = block.reshape(-1).view(self._word)
        shifted, sorted_bytes = self._buffers(len(words))
        np.copyto(sorted_bytes[0], words, casting="unsafe")
        for place in range(1, self._word.itemsize):
            np.right_shift(words, self._word.type(8 * place), out=shifted)
            np.copyto(sorted_bytes[place], shifted, casting="unsafe")
        return sorted_bytes

    def _buffers(self, count: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        kept = getattr(self._local, "buffers", None)
        if kept is None or len(kept[0]) != count:
            kept = np.empty(count, self._word), np.empty((self._word.itemsize, count), np.uint8)
            self._local.buffers = kept
        return kept

    def _compressor(self) -> Any:
        made = getattr(self._local, "compressor", None)
        if made is None:
            parameters = zstandard.ZstdCompressionParameters(
                strategy=_FAST,
                window_log=_WINDOW_LOG,
                hash_log=_HASH_LOG,
                chain_log=_HASH_LOG,
                search_log=1,
                min_match=_LONGEST_SHORTEST_MATCH,
                target_length=0,  # anything else stores the noise as it is, without entropy coding
            )
            made = self._local.compressor = zstandard.ZstdCompressor(compression_params=parameters)
        return made


def decode(payload: bytes | memoryview, out: NDArray[np.uint8]) -> None:
    """Decode a chunk that any Blosc wrote.

    Args:
        payload: the chunk.
        out: flat, of the right size.

    Raises:
        RuntimeError, ValueError: If it is damaged or of another size.
    """
    from numcodecs import blosc

    if len(payload) < _HEADER.size:
        raise ValueError(f"{len(payload)} bytes are less than a header")
    size = _HEADER.unpack_from(payload)[4]
    if size != out.nbytes:
        raise ValueError(f"holds {size} bytes, expected {out.nbytes}")
    blosc.decompress(payload, out)
