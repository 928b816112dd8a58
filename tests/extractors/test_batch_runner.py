import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from extractors import registry
from extractors.base import Extractor
from extractors.batch_runner import BatchRunner
from extractors.engines.batches import run_batched
from extractors.engines.casting import for_network
from extractors.engines.compiling import check_compile
from extractors.network_extractor import NetworkExtractor
from extractors.views import AudioView
from extractors.weights.loading import WeightsSource, resolve
from pipeline.malloc import keep_freed_memory
from storage.errors import InvalidInput
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
def test_memory_that_runs_out_time_and_again_makes_smaller_parts(lanes):
    extractor = Counter()
    extractor.limit = 3
    runner = BatchRunner(extractor, device="cpu", batch_units=8, lanes=lanes)
    units = np.arange(8, dtype=np.float32)
    for _ in range(3):
        assert runner.size.units == 8
        assert runner.submit(units).result()[0].tolist() == (units * 2).tolist()
    assert runner.size.units == 2
    extractor.batches.clear()
    assert runner.submit(units).result()[0].tolist() == (units * 2).tolist()
    assert max(extractor.batches) == 2


def test_smaller_parts_are_launched_without_waiting():
    extractor, lanes = Counter(), SideLanes()
    runner = BatchRunner(extractor, device="cpu", batch_units=4, lanes=lanes)
    runner.size.units = 2
    pending = runner.submit(np.arange(3, dtype=np.float32))
    assert [kind for kind, _ in lanes.log] == ["in", "queued", "in", "queued"]
    assert pending.result()[0].tolist() == [0, 2, 4]


def test_one_batch_that_did_not_fit_leaves_the_next_whole():
    extractor = Counter()
    runner = BatchRunner(extractor, device="cpu", batch_units=8, lanes=SideLanes())
    for extractor.limit in (4, 4, 8, 4, 4, 8):
        runner.submit(np.arange(8, dtype=np.float32)).result()
    assert runner.size.units == 8
    assert extractor.batches[-1] == 8


def test_a_unit_that_does_not_fit_is_an_error_once():
    extractor = Counter()
    extractor.limit = 0
    runner = BatchRunner(extractor, device="cpu", batch_units=2)
    with pytest.raises(MemoryError, match="counter: not even one unit"):
        runner.submit(np.ones(2, dtype=np.float32)).result()
    assert extractor.batches == [2, 1]


@pytest.mark.parametrize("lanes", [None, SideLanes()])
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


class Tiny(NetworkExtractor):
    """A network of two layers, to be compiled quickly."""

    modality = "audio"
    view = AudioView(1)
    specs = (FeatureSpec("tiny", 1, 4, "audio"),)
    weights_source = WeightsSource("", "")
    unit_shape = (8,)
    cpu_batch = 4

    def __init__(self):
        super().__init__(name="tiny")
        self.load(resolve("random:0", self.weights_source))

    def build_loaded(self, weights):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 4)).eval()

    def compute(self, network, batch):
        return (normalize(network(for_network(network, batch))),)

    def units(self, clip):
        raise NotImplementedError


@pytest.fixture
def compiler():
    """Torch's, as if nothing had been compiled in this process."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


UNITS = np.random.default_rng(0).random((4, 8), dtype=np.float32)


@pytest.mark.usefixtures("compiler")
def test_batches_of_any_size_are_one_compiled_shape():
    extractor, graphs = Tiny(), []

    def backend(graph, example):
        graphs.append(graph)
        return graph.forward

    runner = BatchRunner(extractor, device="cpu", compiled=True, compile_backend=backend)
    runner.submit(UNITS).result()
    with torch.compiler.set_stance("fail_on_recompile"):
        for count in (1, 4, 3):
            (got,) = runner.submit(UNITS[:count]).result()
            (want,) = run_batched(extractor.forward, UNITS[:count], batch_units=4)
            np.testing.assert_allclose(got, want, atol=1e-6)
    assert len(graphs) == 1


@pytest.mark.usefixtures("compiler")
def test_what_memory_did_not_suffice_for_is_not_compiled_anew():
    extractor = Tiny()
    runner = BatchRunner(extractor, device="cpu", compiled=True, compile_backend="eager", lanes=SideLanes())
    runner.submit(UNITS).result()
    runner._lanes.late_error = True
    with torch.compiler.set_stance("fail_on_recompile"):
        (got,) = runner.submit(UNITS).result()
    np.testing.assert_allclose(got, run_batched(extractor.forward, UNITS, batch_units=4)[0], atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_compiled_for_a_cpu_gives_the_same():
    try:
        check_compile("cpu")
    except InvalidInput as refused:
        pytest.skip(str(refused))
    extractor = Tiny()
    (got,) = BatchRunner(extractor, device="cpu", compiled=True).submit(UNITS).result()
    (want,) = run_batched(extractor.forward, UNITS, batch_units=4)
    np.testing.assert_allclose(got, want, atol=1e-6)


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
