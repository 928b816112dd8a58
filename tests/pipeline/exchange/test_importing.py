"""What a file of features may hold: everything else is one line, which becomes a row of the ledger."""

import io

import numpy as np
import pytest

from pipeline.exchange.importing import checked
from storage.errors import InvalidInput
from storage.schema import FeatureSpec

SPEC = FeatureSpec("vggish", 10, 128, "audio", 1.0)
GOOD = np.ones((10, 128), np.float32)


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def archive():
    stream = io.BytesIO()
    np.savez(stream, values=GOOD)
    return stream.getvalue()


FAULTS = {
    "empty": b"",
    "header alone": b"\x93NUMPY",
    "truncated header": saved(GOOD)[:70],
    "truncated": saved(GOOD)[:-20],
    "text": b"no numbers",
    "binary": np.random.default_rng(0).bytes(4096),
    "archive": archive(),
    "objects": saved(np.array([None] * 10, dtype=object)),
    "strings": saved(GOOD.astype(str)),
    "no bytes a value": saved(np.zeros((10, 128), "V0")),
    "shape": saved(GOOD[:, :-1]),
    "nan": saved(np.full_like(GOOD, np.nan)),
    "too large for float32": saved(np.full(GOOD.shape, 1e300)),
    "hostile header": saved(GOOD).replace(b"(10, 128)", b"(10,9999)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_one_line(fault):
    with pytest.raises(InvalidInput, match=r"^[^\n]+$"):
        checked(FAULTS[fault], SPEC)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i8", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_kind_become_float32(dtype, order):
    found = checked(saved(np.asarray(GOOD, dtype=dtype, order=order)), SPEC)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, GOOD)
