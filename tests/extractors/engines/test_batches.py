"""Batches that are run in parts when memory runs out."""

import numpy as np
import pytest
import torch

from extractors.engines.batches import BatchSize, OutOfMemory, checked, is_out_of_memory, run_batched

NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def doubled(limit, *, error=NO_MEMORY):
    """A network that fits ``limit`` units; notes the batches it was given."""
    seen = []

    def forward(batch):
        seen.append(len(batch))
        if len(batch) > limit:
            raise error
        return batch * 2, batch.sum(dim=1)

    return forward, seen


UNITS = np.arange(20, dtype=np.float32).reshape(10, 2)


@pytest.mark.parametrize("batch_units", [1, 3, 10, 64])
def test_batches_cover_every_unit_in_order(batch_units):
    forward, _ = doubled(64)
    twice, sums = run_batched(forward, UNITS, batch_units=batch_units)
    np.testing.assert_array_equal(twice, UNITS * 2)
    np.testing.assert_array_equal(sums, UNITS.sum(axis=1))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_a_batch_that_does_not_fit_is_run_in_parts(error):
    forward, seen = doubled(3, error=error)
    size = BatchSize(8)
    twice, _ = run_batched(forward, UNITS, batch_units=size)
    np.testing.assert_array_equal(twice, UNITS * 2)
    assert seen == [8, 4, 2, 2, 2, 2, 2]
    assert size.units == 8


def test_batches_stay_smaller_after_three_that_did_not_fit_in_a_row():
    forward, seen = doubled(3)
    size = BatchSize(5)
    run_batched(forward, UNITS, batch_units=size)
    assert (seen, size.units) == ([5, 2, 2, 1, 5, 2, 2, 1], 5)
    seen.clear()
    run_batched(forward, UNITS, batch_units=size)
    assert (seen, size.units) == ([5, 2, 2, 1, 2, 2, 1], 2)


def test_memory_that_ran_out_for_a_moment_is_forgotten():
    limit = [10]

    def forward(batch):
        if len(batch) > limit[0]:
            raise NO_MEMORY
        return (batch,)

    size = BatchSize(10)
    for limit[0] in (5, 5, 10, 5, 5, 10, 5):
        run_batched(forward, UNITS, batch_units=size)
    assert size.units == 10
    limit[0] = 3
    run_batched(forward, UNITS, batch_units=size)
    run_batched(forward, UNITS, batch_units=size)
    assert size.units == 2


def test_a_short_batch_that_fits_says_nothing_of_whole_ones():
    forward, _ = doubled(3)
    size = BatchSize(8)
    for _ in range(3):
        run_batched(forward, UNITS, batch_units=size)  # eight units, and two
    assert size.units == 2


UNSUPPORTED = RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in odd input")


@pytest.mark.parametrize(("held", "expected"), [(79, True), (40, False)])
def test_what_cudnn_does_not_support_is_memory_where_there_is_none(monkeypatch, held, expected):
    assert not is_out_of_memory(UNSUPPORTED)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1, 80))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 79)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: held)
    assert is_out_of_memory(UNSUPPORTED) is expected


def test_what_cudnn_does_not_support_is_memory_after_an_error_that_says_so():
    try:
        try:
            raise NO_MEMORY
        except torch.OutOfMemoryError:
            raise UNSUPPORTED  # noqa: B904 - as libraries do
    except RuntimeError as error:
        assert is_out_of_memory(error)  # noqa: PT017 - the context is the point


def test_one_unit_that_does_not_fit_names_the_backbone():
    forward, seen = doubled(0)
    with pytest.raises(OutOfMemory, match=r"resnet152: not even one unit \[2\] fits"):
        run_batched(forward, UNITS, batch_units=4, name="resnet152")
    assert seen == [4, 2, 1]


def test_other_errors_pass():
    forward, seen = doubled(0, error=RuntimeError("sizes do not match"))
    with pytest.raises(RuntimeError, match="sizes do not match"):
        run_batched(forward, UNITS, batch_units=4)
    assert seen == [4]


def test_an_empty_batch_size_is_refused():
    with pytest.raises(ValueError, match="at least 1 unit, got 0"):
        run_batched(doubled(4)[0], UNITS, batch_units=0)


def test_no_units():
    assert run_batched(doubled(4)[0], UNITS[:0], batch_units=4) == ()


def test_batches_run_in_the_precision_that_the_backbone_was_loaded_with():
    seen = []

    def forward(batch):
        seen.append(torch.backends.cuda.matmul.allow_tf32)
        return (batch,)

    run_batched(forward, UNITS, batch_units=10, precision="tf32")
    run_batched(forward, UNITS, batch_units=10)
    assert seen == [True, False]


@pytest.mark.parametrize(
    ("outputs", "got"),
    [
        ((torch.zeros(1, 3),), "gave tuple \\[1, 3\\], expected a tuple of tensors \\[4, ...\\]"),
        (torch.zeros(4, 3), "gave no tuple but \\[4, 3\\]"),
        ((torch.tensor(1.0),), "gave tuple \\[\\]"),
        ("words", "gave no tuple but str"),
        ((torch.zeros(4), None), "gave tuple \\[4\\], NoneType"),
    ],
)
def test_outputs_that_are_not_one_a_unit_are_refused(outputs, got):
    with pytest.raises(ValueError, match=got):
        checked(outputs, 4)
    assert len(checked([torch.zeros(4, 2), torch.zeros(4)], 4)) == 2
