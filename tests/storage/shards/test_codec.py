"""Chunks against numcodecs' Blosc, and chunks of earlier releases."""

import base64
import threading

import google_crc32c
import numpy as np
import pytest
from numcodecs import Blosc

from storage.errors import StoreError
from storage.shards import codec
from storage.shards.codec import ChunkCodec, checksum

HAND_WRITTEN = base64.b64decode(
    "AgGRBIABAACAAQAAhQAAABQAAABtAAAAKLUv/WCAAB0DAGQFAACAwAAgQGCAkKCwwNDg8AAIEBggKDA4QEhQWGBocHiAhIiMkJSYnKCkqKywtLi8wMTI"
    "zNDU2Nzg5Ojs8PT4/AACBAYICgwOAD4+Pj9AQUFBQUFBQUEEEABEYdABmirVBg=="
)
"""``max(arange(96) / 8 - 3, 0)`` as float32, as releases up to 0.1 wrote Blosc's frames."""


def after_relu(shape, dtype):
    random = np.random.default_rng(0)
    return np.maximum(random.standard_normal(shape) + 0.23, 0).astype(dtype)


def chain(name, *, chunk_bytes=1 << 20, itemsize=4, blocksize=0):
    packed = {
        "blosc": [
            {
                "name": "blosc",
                "configuration": {
                    "typesize": itemsize, "cname": "zstd", "clevel": 1, "shuffle": "shuffle", "blocksize": blocksize,
                },
            }
        ],
        "zstd": [{"name": "zstd", "configuration": {"level": 1, "checksum": False}}],
        "none": [],
    }  # fmt: skip
    names = [{"name": "bytes", "configuration": {"endian": "little"}}, *packed[name], {"name": "crc32c"}]
    return ChunkCodec(names, chunk_bytes=chunk_bytes, where="a")


@pytest.mark.parametrize("name", ["blosc", "zstd", "none"])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "int64"])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (80, 2048)])
def test_a_chunk_comes_back(name, dtype, shape):
    block = (after_relu(shape, "float64") * 100).astype(dtype)
    made = chain(name, chunk_bytes=block.nbytes, itemsize=block.dtype.itemsize)
    chunk = b"".join(made.encode(block))
    out = np.zeros_like(block)
    made.decode(chunk, out)
    assert np.array_equal(out, block)


def test_blosc_packs_a_row_as_one_block():
    block = after_relu((80, 2048), "float32")
    ours, _ = chain("blosc", chunk_bytes=block.nbytes).encode(block)
    assert ours == Blosc("zstd", 1, Blosc.SHUFFLE, blocksize=block.nbytes).encode(block)
    assert int.from_bytes(ours[8:12], "little") == block.nbytes, "the block size in Blosc's header"


def test_the_block_size_of_the_metadata_is_kept():
    block = after_relu((80, 2048), "float32")
    chunk, _ = chain("blosc", chunk_bytes=block.nbytes, blocksize=1 << 16).encode(block)
    assert int.from_bytes(chunk[8:12], "little") == 1 << 16


def test_chunks_of_earlier_releases_are_read():
    out = np.empty((8, 12), np.float32)
    chain("blosc").decode(HAND_WRITTEN + checksum(HAND_WRITTEN), out)
    assert np.array_equal(out.reshape(-1), np.maximum(np.arange(96, dtype=np.float32) / 8 - 3, 0))


def test_threads_share_a_codec():
    made = chain("blosc")
    blocks = [np.full((200, 100), number, np.float32) + after_relu((200, 100), "float32") for number in range(8)]
    wrong = []

    def work(block):
        for _ in range(20):
            out = np.empty_like(block)
            made.decode(b"".join(made.encode(block)), out)
            if not np.array_equal(out, block):
                wrong.append(block)

    threads = [threading.Thread(target=work, args=(block,)) for block in blocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", ["blosc", "zstd", "none"])
@pytest.mark.parametrize("longer", [-1, 1])
def test_a_chunk_of_another_size_is_an_error(name, longer):
    block = after_relu((2000,), "uint8")
    chunk = b"".join(chain(name, itemsize=1).encode(block))
    with pytest.raises(StoreError, match=f"a: a chunk has 2000 bytes, expected {2000 + longer}"):
        chain(name, itemsize=1).decode(chunk, np.empty(2000 + longer, np.uint8))


@pytest.mark.parametrize("name", ["blosc", "zstd"])
def test_damage_is_an_error(name):
    block = after_relu((40, 50), "float32")
    made, out = chain(name), np.empty((40, 50), np.float32)
    payload, _ = made.encode(block)
    for damaged in (payload[:3], payload[:20] + bytes(len(payload) - 20)):
        with pytest.raises(StoreError, match="a: a chunk cannot be decompressed: "):
            made.decode(damaged + checksum(damaged), out)
    with pytest.raises(StoreError, match="a: a chunk's crc32c is wrong"):
        made.decode(payload + bytes(4), out)


def test_the_checksum_is_crc32c():
    assert checksum(b"123456789") == google_crc32c.value(b"123456789").to_bytes(4, "little") == b"\x83\x92\x06\xe3"


def test_too_large_a_chunk(monkeypatch):
    monkeypatch.setattr(codec, "_LARGEST_BLOSC_BYTES", 100)
    with pytest.raises(StoreError, match=r"400 bytes, Blosc takes 100\. Use codec zstd"):
        chain("blosc").encode(np.zeros(100, np.float32))
