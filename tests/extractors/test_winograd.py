import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from extractors import openmp, winograd, winograd_kernels
from extractors.winograd import WinogradConv2d, best_scheme, suits
from extractors.winograd_schemes import LARGE, SMALL, Scheme

pytestmark = pytest.mark.skipif(not winograd_kernels.can_run(64), reason="torch brings no GNU OpenMP library here")


SCHEMES = pytest.mark.parametrize(("scheme", "rounds_to"), [(SMALL, 2e-5), (LARGE, 2e-4)], ids=["small", "large"])


def convolution(inputs, outputs, *, bias=True, **options):
    torch.manual_seed(inputs + outputs)
    return nn.Conv2d(inputs, outputs, 3, **({"padding": 1} | options), bias=bias).requires_grad_(False)


def pictures(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(memory_format=torch.channels_last)


@SCHEMES
@pytest.mark.parametrize("side", [(1, 1), (4, 8), (7, 7), (14, 9), (3, 30)])
@pytest.mark.parametrize(("inputs", "outputs", "bias"), [(64, 144, True), (48, 64, False), (192, 128, True)])
def test_equals_the_direct_convolution(side, inputs, outputs, bias, scheme, rounds_to):
    conv, x = convolution(inputs, outputs, bias=bias), pictures(3, inputs, *side)
    exact = conv2d(x.double(), conv.weight.double(), None if conv.bias is None else conv.bias.double(), padding=1)
    bound = rounds_to * float(exact.abs().max())
    ours = WinogradConv2d(conv, scheme)
    before = x.clone()
    torch.testing.assert_close(ours(x).double(), exact, rtol=0, atol=bound)
    torch.testing.assert_close(ours(x, then="relu").double(), exact.relu(), rtol=0, atol=bound)
    assert torch.equal(x, before)
    assert ours(x).is_contiguous(memory_format=torch.channels_last)


def test_any_memory_format_goes_in():
    conv, x = convolution(64, 64), pictures(2, 64, 9, 9)
    ours = WinogradConv2d(conv, LARGE)
    assert torch.equal(ours(x.contiguous()), ours(x))


@SCHEMES
def test_a_picture_gives_the_same_bits_in_any_batch_with_any_threads(monkeypatch, scheme, rounds_to):
    conv, x = convolution(128, 128), pictures(7, 128, 14, 14)
    ours = WinogradConv2d(conv, scheme)
    whole = ours(x)
    for size in (1, 2, 3, 5):
        assert torch.equal(ours(x[:size]), whole[:size])
    monkeypatch.setattr(winograd, "_BYTES", 1 << 21)
    assert torch.equal(ours(x), whole)
    threads = torch.get_num_threads()
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            assert torch.equal(ours(x), whole)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "other",
    [{"stride": 2}, {"padding": 0}, {"dilation": 2, "padding": 2}, {"groups": 2}, {"padding_mode": "reflect"}],
)
def test_other_kinds_of_convolutions_do_not_suit(other):
    assert suits(convolution(128, 128), [16, 128, 28, 28])
    assert not suits(convolution(128, 128, **other), [16, 128, 28, 28])


def test_few_channels_few_tiles_or_odd_channels_do_not_suit():
    assert not suits(convolution(16, 64), [16, 16, 56, 56])
    assert not suits(convolution(512, 512), [4, 512, 7, 7])
    assert not suits(convolution(128, 130), [16, 128, 28, 28])
    assert not suits(nn.Conv2d(256, 256, 1), [16, 256, 14, 14])


def test_without_torchs_threads_nothing_suits(monkeypatch):
    monkeypatch.setattr(openmp, "library", lambda: None)
    assert not suits(convolution(128, 128), [16, 128, 28, 28])


@SCHEMES
def test_values_that_are_not_finite_stay_where_they_are(scheme, rounds_to):
    x = pictures(1, 64, 24, 24)
    x[0, 0, 2, 2] = float("nan")
    for then in ("none", "relu"):
        out = WinogradConv2d(convolution(64, 128), scheme)(x, then=then)
        assert out[0, :, 1:4, 1:4].isnan().all()
        assert out[0, :, scheme.outputs :, scheme.outputs :].isfinite().all()


def test_the_scheme_is_that_with_the_fewest_multiplications_if_its_products_have_rows_enough():
    assert best_scheme([14, 256, 14, 14]) is LARGE
    assert best_scheme([14, 512, 7, 7]) is SMALL
    assert best_scheme([32, 512, 7, 7]) is LARGE
    assert best_scheme([32, 64, 8, 8]) is SMALL
    assert best_scheme([7, 64, 7, 7]) is None


@pytest.mark.parametrize("scheme", [SMALL, LARGE, Scheme(outputs=2, pairs=(1.0,), zero=True)])
def test_a_scheme_is_exact_but_for_rounding(scheme):
    generator = torch.Generator().manual_seed(0)
    taps, d = (torch.randn(count, generator=generator).double() for count in (3, scheme.side))
    others = [[q for q in scheme.points if q != p] for p in scheme.points]
    into = torch.tensor([polynomial(few, scheme.side) for few in [*others, scheme.points]], dtype=torch.float64)
    out = torch.tensor([[p**at for p in scheme.points] + [0.0] for at in range(scheme.outputs)], dtype=torch.float64)
    out[-1, -1] = 1
    ours = out @ ((torch.tensor(scheme.weight_transform, dtype=torch.float64) @ taps) * (into @ d))
    torch.testing.assert_close(ours, d.unfold(0, 3, 1) @ taps)


def polynomial(roots, length):
    found = torch.tensor([1.0], dtype=torch.float64)
    for root in roots:
        found = torch.nn.functional.pad(found, (1, 0)) - root * torch.nn.functional.pad(found, (0, 1))
    return found.tolist() + [0.0] * (length - len(found))


def test_a_scheme_needs_as_many_points_as_inputs():
    with pytest.raises(ValueError, match="3 points and infinity, expected 6"):
        Scheme(outputs=4, pairs=(1.0,), zero=True)


def test_the_large_resnets_use_it():
    from torchvision.models import resnet50

    from extractors.packed_conv import pack_bottlenecks
    from extractors.runtime import fold_batch_norms
    from extractors.weights import fill_random

    net = resnet50().eval().requires_grad_(False)
    fill_random(net, 0)
    fold_batch_norms(net, torch.zeros(1, 3, 64, 64))
    net = net.to(memory_format=torch.channels_last)
    x = pictures(16, 3, 112, 112)
    with torch.inference_mode():
        before = net(x)
        assert pack_bottlenecks(net, x) == 16
        assert sum(isinstance(part, WinogradConv2d) for part in net.modules()) >= 8
        torch.testing.assert_close(net(x), before, rtol=1e-5, atol=1e-5 * float(before.abs().max()))


def test_a_smaller_team_than_asked_for_does_all_the_work():
    script = """
        import torch
        from torch import nn
        from extractors.winograd import WinogradConv2d
        from extractors.winograd_schemes import LARGE
        torch.set_num_threads(4)
        torch.manual_seed(0)
        conv, x = nn.Conv2d(64, 64, 3, padding=1).requires_grad_(False), torch.randn(2, 64, 9, 9)
        print(float((WinogradConv2d(conv, LARGE)(x) - conv(x)).abs().max()))
    """
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1e-4


def test_only_float32_on_the_cpu_is_taken():
    layer = WinogradConv2d(convolution(64, 64), SMALL)
    for kind in (torch.float64, torch.bfloat16):
        with pytest.raises(TypeError, match=f"expected contiguous float32 on the CPU, got {kind}"):
            layer(pictures(1, 64, 8, 8).to(kind))


def test_pictures_of_other_channels_are_refused_before_compiled_code_sees_them():
    layer = WinogradConv2d(convolution(64, 64), SMALL)
    with pytest.raises(ValueError, match=r"pictures, tiles, bias .*channels in"):
        layer(pictures(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"expected tiles \[4, 36, 128\]"):
        layer(pictures(1, 128, 8, 8))
    with pytest.raises(ValueError, match=r"expected tiles \[4, 36, 64\]"):
        winograd_kernels.pictures_to_tiles(torch.zeros(1, 8, 8, 64), torch.zeros(3, 36, 64), SMALL)
