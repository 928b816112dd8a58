"""Pickles of arrays and tensors are read without running them; damaged and hostile ones end in an exception."""

import contextlib
import pickle

import numpy as np
import pytest
import torch

from pipeline.labels.pickled_arrays import PickledArray, read_pickle

ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "big endian": np.arange(6, dtype=">f8").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "bool": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float16),
    "uint8": np.arange(3, dtype=np.uint8),
}
TENSORS = {
    "plain": torch.arange(6.0).reshape(2, 3),
    "whole numbers": torch.arange(6).reshape(2, 3),
    "half": torch.ones(3, dtype=torch.float16),
    "a part, turned": torch.arange(100.0).reshape(10, 10)[2:4].t(),
    "repeated": torch.ones(3).expand(2, 3).contiguous(),
    "empty": torch.zeros(0, 3),
    "scalar": torch.tensor(2.0),
    "bool": torch.tensor([True, False]),
}

DAMAGED = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(kind, protocol):
    found = read_pickle(pickle.dumps({"a": ARRAYS[kind], "b": ARRAYS[kind]}, protocol=protocol))
    np.testing.assert_array_equal(found["a"].values, ARRAYS[kind])
    np.testing.assert_array_equal(found["b"].values, ARRAYS[kind])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", TENSORS)
def test_tensors(kind, protocol):
    found = read_pickle(pickle.dumps({"a": TENSORS[kind]}, protocol=protocol))["a"]
    np.testing.assert_array_equal(found.values, TENSORS[kind].numpy())


def test_a_tensor_of_a_gpu():
    """Labels that were saved from a GPU differ in the name of its place only."""
    data = pickle.dumps(torch.arange(3.0), protocol=4)
    moved = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x03\x00\x00\x00cud")
    assert moved != data
    np.testing.assert_array_equal(read_pickle(moved).values, [0, 1, 2])


def test_objects_in_an_array():
    found = read_pickle(pickle.dumps(np.array({"x": 1}, dtype=object)))
    assert isinstance(found, PickledArray)
    assert found.objects == ({"x": 1},)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (print, "asks for|operation|has a _Global"),
        (np.random.default_rng(0), "asks for|operation"),
        (np.array(["text"]), "an array of U4"),
        (torch.zeros(2, dtype=torch.complex64), "a tensor of torch.ComplexFloatStorage"),
        ({1: 2}, "has a int where a str should be"),
        (1 + 2j, "asks for|operation"),
    ],
)
def test_what_is_not_read(value, words):
    data = pickle.dumps({"x": value}, protocol=4)
    if value is print:
        assert "print" in repr(read_pickle(data))  # a name, looked up nowhere
        return
    with pytest.raises(ValueError, match=words):
        read_pickle(data)


def test_every_cut_and_many_flips_end_in_an_exception_or_a_value():
    data = pickle.dumps({"a": np.ones((2, 3)), "b": torch.ones(2, 3)}, protocol=4)
    random = np.random.default_rng(0)
    hostile = [data[:end] for end in range(len(data))]
    for _ in range(300):
        changed = bytearray(data)
        for at in random.integers(0, len(data), 3):
            changed[at] = random.integers(0, 256)
        hostile.append(bytes(changed))
    for one in hostile:
        with contextlib.suppress(*DAMAGED):
            read_pickle(one)


@pytest.mark.parametrize(("old", "new"), [((2, 3), (2, 4)), ((2, 3), (2**30, 2**30)), ((2, 3), (0, 3))])
def test_sizes_that_do_not_fit_the_numbers(old, new):
    class Array:
        def __init__(self, shape):
            self.shape = shape

        def __reduce__(self):
            function, arguments, state = np.ones(old).__reduce__()
            return function, arguments, (state[0], self.shape, *state[2:])

    with pytest.raises(ValueError, match="malformed size"):
        read_pickle(pickle.dumps({"x": Array(new)}))
