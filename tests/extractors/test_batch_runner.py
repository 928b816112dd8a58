import numpy as np
import pytest
import torch

from extractors import registry
from extractors.base import Extractor
from extractors.batch_runner import BatchRunner
from extractors.views import AudioView
from extractors.weights.loading import WeightsSource
from pipeline.malloc import keep_freed_memory
from storage.schema import FeatureSpec


class Counter(Extractor):
    """Doubles numbers; has memory for ``limit`` units."""

    modality = "audio"
    view = AudioView(1)
    specs = (FeatureSpec("counter", 1, 1, "audio"),)
    weights_source = WeightsSource("", "")
    cpu_batch, gpu_batch = 4, 8
    limit = 100

    def __init__(self):
        super().__init__(name="counter")
        self.batches = []

    def load(self, weights, *, device="cpu", precision="float32", engine="torch"):
        pass

    def units(self, clip):
        raise NotImplementedError

    def forward(self, batch):
        self.batches.append(len(batch))
        if len(batch) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        if (batch == 13).any():
            raise ValueError("thirteen")
        return (batch.float() * 2,)


class SideLanes:
    """A fake GPU: staging memory, and results that are not there until they are waited for."""

    pinned = True

    def __init__(self, *, late_error=False):
        self.log = []
        self.late_error = late_error

    def copy_in(self, host, device):
        self.log.append(("in", host.tolist()))
        return host.clone()

    def copy_out(self, outputs):
        self.log.append(("queued", len(outputs[0])))

        def wait():
            if self.late_error:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
            self.log.append(("waited", len(outputs[0])))
            return tuple(output.numpy() for output in outputs)

        return wait


def test_on_a_cpu_a_batch_is_done_when_it_is_submitted():
    runner = BatchRunner(Counter(), device="cpu")
    assert (runner.batch_units, runner.in_flight) == (4, 1)
    (out,) = runner.submit(np.arange(4, dtype=np.float32)).result()
    assert out.tolist() == [0, 2, 4, 6]


def test_the_device_loop_overlaps_batches_and_keeps_them_apart():
    lanes = SideLanes()
    runner = BatchRunner(Counter(), device="cpu", batch_units=2, lanes=lanes)
    assert runner.in_flight == 2
    first = runner.submit(np.asarray([1.0, 2.0], dtype=np.float32))
    second = runner.submit(np.asarray([3.0, 4.0], dtype=np.float32))
    assert [kind for kind, _ in lanes.log] == ["in", "queued", "in", "queued"]
    assert first.result()[0].tolist() == [2, 4]
    third = runner.submit(np.asarray([5.0], dtype=np.float32))
    assert second.result()[0].tolist() == [6, 8]
    assert third.result()[0].tolist() == [10]


@pytest.mark.parametrize("lanes", [None, SideLanes(), SideLanes(late_error=True)])
def test_memory_that_runs_out_halves_the_batch_for_the_rest_of_the_run(lanes):
    extractor = Counter()
    extractor.limit = 3
    runner = BatchRunner(extractor, device="cpu", batch_units=8, lanes=lanes)
    units = np.arange(8, dtype=np.float32)
    assert runner.submit(units).result()[0].tolist() == (units * 2).tolist()
    assert runner.size.units == 2
    extractor.batches.clear()
    assert runner.submit(units).result()[0].tolist() == (units * 2).tolist()
    assert max(extractor.batches) == 2


@pytest.mark.parametrize("lanes", [None, SideLanes(), SideLanes(late_error=True)])
def test_every_batch_has_one_shape_and_gives_what_was_asked(lanes):
    extractor = Counter()
    runner = BatchRunner(extractor, device="cpu", batch_units=4, lanes=lanes)
    for count in (4, 1, 3):
        units = np.arange(count, dtype=np.float32)
        assert runner.submit(units).result()[0].tolist() == (units * 2).tolist()
    assert set(extractor.batches) == {4}


def test_batches_run_in_the_precision_of_the_backbone():
    extractor, seen = Counter(), []
    extractor.precision = "tf32"
    extractor.forward = lambda batch: (seen.append(torch.get_float32_matmul_precision()), (batch,))[1]
    BatchRunner(extractor, device="cpu").submit(np.ones(1, dtype=np.float32)).result()
    assert seen == ["high"]


def test_other_errors_are_not_swallowed():
    runner = BatchRunner(Counter(), device="cpu")
    with pytest.raises(ValueError, match="thirteen"):
        runner.submit(np.asarray([13.0], dtype=np.float32))


def test_compiled_gives_the_same():
    torch.compiler.reset()
    extractor = Counter()
    extractor.forward = lambda batch: (torch.sin(batch.float()) * 2,)
    runner = BatchRunner(extractor, device="cpu", compiled=True, compile_backend="aot_eager")
    units = np.linspace(0, 1, 4, dtype=np.float32)
    np.testing.assert_allclose(runner.submit(units).result()[0], np.sin(units) * 2, atol=1e-6)


def test_keeping_freed_memory_changes_no_number():
    extractor = registry.load("vggish", weights="random:0", clip_seconds=1)
    units = np.random.default_rng(0).random((4, 1, 96, 64), dtype=np.float32)
    before = BatchRunner(extractor, device="cpu").submit(units).result()[0]
    keep_freed_memory()
    np.testing.assert_array_equal(BatchRunner(extractor, device="cpu").submit(units).result()[0], before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["resnet152", "vggish"])
def test_the_gpu_loop_equals_the_plain_one(name):
    extractor = registry.load(name, weights="random:0", device="cuda:0", clip_seconds=1)
    shape = (5, 224, 224, 3) if name == "resnet152" else (5, 1, 96, 64)
    units = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8 if name == "resnet152" else np.float32)
    runner = BatchRunner(extractor, device="cuda:0", batch_units=2)
    pending = [runner.submit(units[:2]), runner.submit(units[2:4])]
    got = np.concatenate([item.result()[0] for item in pending])
    with torch.inference_mode():
        want = extractor.forward(torch.from_numpy(units[:4]))[0].cpu().numpy()
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
