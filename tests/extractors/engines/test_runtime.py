"""Devices, precision and folding."""

import copy
import subprocess
import threading

import pytest
import torch
from torch import nn
from torchvision.models import densenet121, resnet18
from torchvision.models.video import r2plus1d_18

from extractors.engines import runtime
from extractors.engines.folding import fold_batch_norms
from extractors.engines.runtime import pick_device
from storage.errors import InvalidInput


def test_auto_is_the_cpu_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == "cpu"
    assert pick_device("cpu") == "cpu"
    with pytest.raises(InvalidInput, match="has 0 CUDA devices; use cpu or auto"):
        pick_device("cuda:0")


def test_auto_is_the_first_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [pick_device(d) for d in ("auto", "cuda", "cuda:1")] == ["cuda:0", "cuda:0", "cuda:1"]
    with pytest.raises(InvalidInput, match="has 2 CUDA devices"):
        pick_device("cuda:2")


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "mps"])
def test_bad_devices(device):
    with pytest.raises(InvalidInput, match="expected auto, cpu or cuda:N"):
        pick_device(device)


def test_precision():
    assert runtime.check_precision("float32", "cpu") == "float32"
    assert runtime.check_precision("float16", "cuda:0") == "float16"
    with pytest.raises(InvalidInput, match="'float16' needs a GPU"):
        runtime.check_precision("float16", "cpu")
    with pytest.raises(InvalidInput, match="expected one of float32, tf32, bfloat16, float16"):
        runtime.check_precision("half", "cpu")


def test_tf32_needs_a_gpu_that_has_it(monkeypatch):
    with pytest.raises(InvalidInput, match=r"'tf32' needs a GPU, NVIDIA's Ampere or newer; on a CPU use float32"):
        runtime.check_precision("tf32", "cpu")
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: {"cuda:0": (7, 5), "cuda:1": (9, 0)}[device]
    )
    assert runtime.check_precision("tf32", "cuda:1") == "tf32"
    with pytest.raises(InvalidInput, match="the GPU cuda:0 is older than Ampere and lacks it; use float32"):
        runtime.check_precision("tf32", "cuda:0")


@pytest.mark.parametrize("code", [0, -4])
def test_bfloat16_is_refused_where_it_kills(monkeypatch, code):
    runtime._cpu_survives_bfloat16.cache_clear()
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, code))
    if code:
        with pytest.raises(InvalidInput, match=r"dies on it.*ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16"):
            runtime.check_precision("bfloat16", "cpu")
    else:
        assert runtime.check_precision("bfloat16", "cpu") == "bfloat16"
    runtime._cpu_survives_bfloat16.cache_clear()


def flags():
    cudnn = torch.backends.cudnn
    return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark


def test_float32_is_float32_and_only_during_inference():
    before = flags()
    torch.set_float32_matmul_precision("medium")
    try:
        with runtime.inference():
            assert flags() == ("highest", False, True, False)
            assert not torch.backends.cuda.matmul.allow_tf32
            a, b = torch.rand(64, 256), torch.rand(256, 64)
            assert (a @ b - (a.double() @ b.double())).abs().max() < 1e-4  # bfloat16 would be off by 0.1
            conv, x = nn.Conv2d(64, 8, 3).requires_grad_(False), torch.rand(1, 64, 8, 8)
            assert (conv(x) - copy.deepcopy(conv).double()(x.double())).abs().max() < 1e-5
        assert flags() == ("medium", *before[1:])
    finally:
        torch.set_float32_matmul_precision(before[0])


def products():
    matmul = torch.backends.cuda.matmul
    return (
        matmul.allow_tf32,
        matmul.allow_fp16_reduced_precision_reduction,
        matmul.allow_bf16_reduced_precision_reduction,
    )


@pytest.mark.parametrize("precision", runtime.PRECISIONS)
def test_products_are_of_the_precision_asked_for(precision):
    before = flags(), products()
    tf32 = precision == "tf32"
    with runtime.inference(precision):
        assert flags() == ("high" if tf32 else "highest", tf32, True, False)
        assert products() == (tf32, False, False)
    assert (flags(), products()) == before


def test_threads_that_overlap_put_back_what_the_process_had():
    before, entered, leave = flags(), threading.Event(), threading.Event()

    def compute():
        with runtime.inference("tf32"):
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=compute)
    with runtime.inference("tf32"):
        other.start()
        assert entered.wait(10)
    assert flags() == ("high", True, True, False)  # the other thread is still at it
    seen = []

    def wait_for_turn():
        with runtime.inference("float32"):
            seen.append(flags())

    waiter = threading.Thread(target=wait_for_turn)
    waiter.start()
    leave.set()
    other.join(10)
    waiter.join(10)
    assert seen == [("highest", False, True, False)]
    assert flags() == before


def test_another_precision_within_one_is_refused():
    again = runtime.inference("float32")
    with runtime.inference("tf32"), pytest.raises(RuntimeError, match="float32 was asked for within tf32"), again:
        pass


def shaken(network):
    """Batch norms that do something."""
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, (nn.BatchNorm2d, nn.BatchNorm3d)):
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(part.weight, 0.5, 1.0)
            nn.init.uniform_(part.bias, -0.1, 0.1)
    return network.eval().requires_grad_(False)


def norms(network):
    return sum(isinstance(part, (nn.BatchNorm2d, nn.BatchNorm3d)) for part in network.modules())


@pytest.mark.parametrize(
    ("make", "shape", "left"),
    [(resnet18, (1, 3, 64, 64), 0), (r2plus1d_18, (1, 3, 4, 32, 32), 0), (densenet121, (1, 3, 64, 64), 62)],
)
def test_folding_changes_nothing_but_the_speed(make, shape, left):
    network = shaken(make())
    x = torch.rand(2, *shape[1:])
    before, count = network(x), norms(network)
    assert fold_batch_norms(network, torch.rand(shape)) == count - left
    assert norms(network) == left
    assert (network(x) - before).abs().max() < 1e-5 * max(1, before.abs().max().item())


class Shared(nn.Module):
    """A convolution whose output is used twice: its norm must not be folded."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


class Twice(nn.Module):
    """A convolution that runs twice, once before a norm."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.conv(self.norm(self.conv(x)))


@pytest.mark.parametrize("make", [Shared, Twice])
def test_what_cannot_be_folded_is_put_back(make):
    network = shaken(make())
    x = torch.rand(1, 3, 4, 4)
    before, state = network(x), {k: v.clone() for k, v in network.state_dict().items()}
    assert fold_batch_norms(network, x) == 0
    assert torch.equal(network(x), before)
    assert state.keys() == network.state_dict().keys()


def test_folding_in_training_is_refused():
    with pytest.raises(ValueError, match="eval mode"):
        fold_batch_norms(Shared(), torch.rand(1, 3, 4, 4))


def test_initial_values_are_skipped_and_buffers_are_not():
    with runtime.skipped_initialisation():
        norm = nn.BatchNorm2d(4)
    assert torch.equal(norm.running_var, torch.ones(4))
