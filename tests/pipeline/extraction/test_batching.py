import numpy as np
import pytest

from extractors.base import Extractor, Features, Units
from extractors.failure import Failure
from extractors.views import AudioView
from extractors.weights.loading import WeightsSource
from pipeline.extraction.batching import Batcher
from storage.schema import FeatureSpec


class Doubler(Extractor):
    """Each unit is one number; its feature is twice that."""

    modality = "audio"
    view = AudioView(1)
    specs = (FeatureSpec("doubler", 4, 1, "audio", 1.0),)
    weights_source = WeightsSource("", "")

    def load(self, weights, *, device="cpu", precision="float32", engine="torch"):
        pass

    def units(self, clip):
        raise NotImplementedError

    def forward(self, batch):
        raise NotImplementedError


class Late:
    """A batch that is computed when its result is asked for, as late as a GPU may be."""

    def __init__(self, forward, batch):
        self.forward, self.batch = forward, batch

    def result(self):
        return self.forward(self.batch)


class Runner:
    """Runs batches late, in buffers that it gives out again as soon as it may."""

    def __init__(self, forward, size, in_flight):
        self.forward, self.in_flight, self.batches = forward, in_flight, []
        self.buffers = [np.empty((size, 1), dtype=np.float32) for _ in range(in_flight + 1)]

    def buffer(self, unit_shape, dtype):
        assert (unit_shape, dtype) == ((1,), np.float32)
        self.buffers.append(self.buffers.pop(0))
        self.buffers[-1][:] = np.nan
        return self.buffers[-1]

    def submit_buffer(self, buffer, count):
        return self.submit(buffer[:count])

    def submit(self, batch):
        self.batches.append(batch[:, 0].tolist())
        return Late(self.forward, batch)


def units(*numbers, valid=None):
    data = np.asarray(numbers, dtype=np.float32)[:, None]
    return Units(data, np.ones(len(data), dtype=bool) if valid is None else np.asarray(valid))


@pytest.fixture
def run():
    results = {}

    def make(forward=lambda batch: (batch * 2,), size=3, in_flight=1):
        runner = Runner(forward, size, in_flight)
        batcher = Batcher(Doubler(name="doubler", clip_seconds=4), runner, deliver=results.__setitem__)
        return batcher, runner.batches, results

    return make


def values(features):
    return features["doubler"].values[:, 0].tolist()


def test_batches_are_filled_across_clips_in_order(run):
    batcher, batches, results = run()
    batcher.add("a", units(1, 2, 3, 4))
    assert results == {}
    batcher.add("b", units(5, 6, 7, 8))
    assert list(results) == ["a"]
    batcher.flush()
    assert batches == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert values(results["a"]) == [2, 4, 6, 8]
    assert values(results["b"]) == [10, 12, 14, 16]


@pytest.mark.parametrize("in_flight", [1, 2, 3])
def test_batches_in_flight_give_the_same(run, in_flight):
    batcher, _, results = run(size=3, in_flight=in_flight)
    for number in range(10):
        batcher.add(number, units(*range(4 * number, 4 * number + 4)))
    batcher.flush()
    assert list(results) == list(range(10))
    assert [value for item in results.values() for value in values(item)] == [2.0 * n for n in range(40)]


def test_units_that_are_not_valid_are_never_run(run):
    batcher, batches, results = run()
    batcher.add("a", units(1, 2, 9, 9, valid=[True, True, False, False]))
    batcher.add("none", units(9, 9, 9, 9, valid=[False] * 4))
    batcher.flush()
    assert batches == [[1, 2]]
    assert results["a"]["doubler"].valid.tolist() == [True, True, False, False]
    np.testing.assert_array_equal(np.isnan(results["a"]["doubler"].values[:, 0]), [False, False, True, True])
    assert not results["none"]["doubler"].valid.any()


def test_the_buffer_is_a_copy(run):
    batcher, _, results = run(size=8)
    item = units(1, 2, 3, 4)
    batcher.add("a", item)
    item.data[:] = 100
    item.valid[:] = False
    batcher.flush()
    assert values(results["a"]) == [2, 4, 6, 8]


def test_units_of_another_shape_are_their_clips_failure(run):
    batcher, _, results = run()
    batcher.add("a", units(1, 2, 3, 4))
    batcher.add("odd", Units(np.zeros((4, 2), dtype=np.float32), np.ones(4, dtype=bool)))
    batcher.flush()
    assert values(results["a"]) == [2, 4, 6, 8]
    assert results["odd"] == Failure("units() gave float32 [2] a unit, float32 [1] before")


def test_flushing_nothing_does_nothing(run):
    batcher, batches, _ = run()
    batcher.flush()
    assert batches == []


def test_one_bad_clip_does_not_take_its_neighbours(run):
    def forward(batch):
        if (batch == 13).any():
            raise RuntimeError("thirteen\nand more lines")
        return (batch * 2,)

    batcher, _, results = run(forward, size=6)
    batcher.add("a", units(1, 2, 3, 4))
    batcher.add("bad", units(5, 13, 6, 7))
    batcher.add("c", units(8, 9, 10, 11))
    batcher.flush()
    assert values(results["a"]) == [2, 4, 6, 8]
    assert results["bad"] == Failure("RuntimeError: thirteen")
    assert values(results["c"]) == [16, 18, 20, 22]


def test_a_clip_alone_in_its_batch_fails_once(run):
    def forward(batch):
        raise MemoryError("not even one unit fits")

    batcher, batches, results = run(forward, size=4)
    batcher.add("a", units(1, 2, 3, 4))
    assert batches == [[1, 2, 3, 4]]
    assert results["a"] == Failure("MemoryError: not even one unit fits", out_of_memory=True)


def test_values_that_are_not_finite_are_a_failure(run):
    batcher, _, results = run(lambda batch: (np.log(batch - 1),))
    with np.errstate(divide="ignore"):
        batcher.add("a", units(1, 2, 3, 4))
        batcher.flush()
    assert results["a"] == Failure("doubler gave values that are not finite")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "assemble() gave no doubler"),
        (Features(np.zeros((4, 2)), np.ones(4, dtype=bool)), "assemble() gave doubler [4, 2], valid [4], expected"),
        (Features(np.zeros((4, 1)), np.zeros(4, dtype=bool)), "assemble() gave doubler values at steps that are not"),
    ],
)
def test_rows_that_are_not_as_announced_are_a_failure(run, monkeypatch, row, reason):
    made = row if isinstance(row, dict) else {"doubler": row}
    monkeypatch.setattr(Doubler, "assemble", lambda self, outputs, valid: made)
    batcher, _, results = run()
    batcher.add("a", units(1, 2, 3, 4))
    batcher.flush()
    assert results["a"].reason.startswith(reason)


@pytest.mark.parametrize("wide", [2, 3])
def test_outputs_of_another_size_are_not_spread_over_the_steps(run, monkeypatch, wide):
    monkeypatch.setattr(Doubler, "specs", (FeatureSpec("doubler", 4, 2, "audio", 1.0),))
    batcher, _, results = run(lambda batch: (batch.repeat(wide - 1, axis=1),), size=4)
    batcher.add("a", units(1, 2, 3, 4))
    batcher.flush()
    if wide == 2:
        assert results["a"] == Failure("ValueError: the network gave [4, 1], but doubler has 2 values a step: [4, 2]")
    else:
        assert results["a"]["doubler"].values.shape == (4, 2)
