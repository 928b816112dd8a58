"""Our Blosc chunks against Blosc itself."""

import threading

import numpy as np
import pytest
from numcodecs import blosc

from storage.errors import StoreError
from storage.shards import blosc_frame
from storage.shards.blosc_frame import BloscEncoder


def after_relu(shape, dtype):
    random = np.random.default_rng(0)
    return np.maximum(random.standard_normal(shape) + 0.23, 0).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "int64"])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (80, 2048)])
def test_blosc_decodes_what_we_encode(dtype, shape):
    block = (after_relu(shape, "float64") * 100).astype(dtype)
    chunk = b"".join(BloscEncoder(block.dtype).encode(block))
    assert np.array_equal(np.frombuffer(blosc.decompress(chunk), dtype).reshape(shape), block)
    flat = np.zeros(block.nbytes, np.uint8)
    blosc_frame.decode(chunk, flat)
    assert flat.tobytes() == block.tobytes()


def test_noise_is_stored_as_it_is():
    block = np.random.default_rng(0).integers(0, 2**32, 4096, dtype=np.uint32)
    parts = BloscEncoder(block.dtype).encode(block)
    assert sum(map(len, parts)) == block.nbytes + 16
    assert blosc.decompress(b"".join(parts)) == block.tobytes()


def test_the_header_is_blosc_s_own():
    block = after_relu((80, 2048), "float32")
    ours = b"".join(BloscEncoder(block.dtype).encode(block))
    theirs = blosc.compress(block, b"zstd", 1, blosc.SHUFFLE, block.nbytes)
    assert ours[:12] == theirs[:12], "version, flags, item size, size, block size"
    assert ours[16:20] == theirs[16:20], "where the first block begins"
    assert len(ours) < len(theirs)


def test_threads_do_not_share_buffers():
    encoder = BloscEncoder(np.dtype("float32"))
    blocks = [np.full((200, 100), number, np.float32) + after_relu((200, 100), "float32") for number in range(8)]
    wrong = []

    def work(block):
        chunks = [b"".join(encoder.encode(block)) for _ in range(20)]
        wrong.extend(chunk for chunk in chunks if blosc.decompress(chunk) != block.tobytes())

    threads = [threading.Thread(target=work, args=(block,)) for block in blocks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_damage_is_an_error():
    block = after_relu((40, 50), "float32")
    chunk = b"".join(BloscEncoder(block.dtype).encode(block))
    out = np.empty(block.nbytes, np.uint8)
    with pytest.raises(ValueError, match="3 bytes are less than a header"):
        blosc_frame.decode(chunk[:3], out)
    with pytest.raises(ValueError, match="holds 8000 bytes, expected 7999"):
        blosc_frame.decode(chunk, out[:-1])
    with pytest.raises((RuntimeError, ValueError)):
        blosc_frame.decode(chunk[:20] + bytes(len(chunk) - 20), out)


def test_too_large_a_chunk(monkeypatch):
    monkeypatch.setattr(blosc_frame, "_LARGEST_BYTES", 100)
    with pytest.raises(StoreError, match=r"400 bytes: Blosc holds 100\. Use codec zstd"):
        BloscEncoder(np.dtype("float32")).encode(np.zeros(100, np.float32))
