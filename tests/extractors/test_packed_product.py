import subprocess
import sys
import threading

import pytest
import torch
from torch import nn

import extractors.scratch_memory
from extractors import openmp, packed_product, strassen_kernels
from extractors.packed_product import PackedLinear, PackedMatrix, PlainLinear, pack_linears, quick_linear, suits
from extractors.scratch_memory import scratch_memory

pytestmark = pytest.mark.skipif(
    not suits(inputs=64, outputs=64, rows=64), reason="this CPU or torch has not what compiled products need"
)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


ROUNDING = (3e-7, 8e-7)
"""Of plain products, and of Strassen's scheme: it subtracts what it has added."""


def close(ours, exact, inputs, *, levels=0):
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=ROUNDING[levels] * inputs)


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 13, 14, 15, 29, 130])
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 16), (64, 48), (80, 144), (1024, 32), (1040, 64), (2064, 80)])
def test_equals_the_product_in_float64(rows, inputs, outputs):
    x, weight, bias = numbers(rows, inputs), numbers(outputs, inputs, seed=1), numbers(outputs, seed=2)
    exact = x.double() @ weight.double().T
    matrix, before = PackedMatrix(weight), x.clone()
    close(matrix.times(x), exact, inputs)
    close(matrix.times(x, bias=bias), exact + bias, inputs)
    close(matrix.times(x, bias=bias, relu=True), (exact + bias).relu(), inputs)
    onto = numbers(rows, outputs, seed=3)
    expected = (exact + bias + onto).relu()
    assert matrix.times(x, bias=bias, onto=onto, relu=True) is onto
    close(onto, expected, inputs)
    assert torch.equal(x, before)


@pytest.mark.parametrize("rows", [1, 37, 56, 112])
def test_several_products_at_once(rows):
    x, weight = numbers(rows, 36, 64), numbers(36, 48, 64, seed=1)
    matrix, exact = PackedMatrix(weight), torch.einsum("rpi,poi->rpo", x.double(), weight.double())
    close(matrix.times(x), exact, 64)
    into = torch.full((rows, 36, 48), float("nan"))
    assert matrix.times(x, into=into) is into
    close(into, exact, 64)


def test_a_row_has_the_same_bits_in_any_batch_with_any_threads():
    x, weight = numbers(301, 1040), numbers(80, 1040, seed=1)
    matrix = PackedMatrix(weight)
    whole = matrix.times(x)
    for first, last in [(0, 1), (7, 29), (100, 301), (13, 27)]:
        assert torch.equal(matrix.times(x[first:last]), whole[first:last])
    threads = torch.get_num_threads()
    try:
        for number in (1, 3, 5):
            torch.set_num_threads(number)
            assert torch.equal(matrix.times(x), whole)
    finally:
        torch.set_num_threads(threads)


PAIRED = [
    (1, 8, 128, 128),
    (3, 257, 544, 128),
    (7, 49, 512, 192),
    (2, 196, 1024, 256),
    (30, 9, 1056, 320),
    (3, 257, 1024, 2048),
    (17, 131, 2048, 1024),
]


@pytest.mark.parametrize(("units", "unit", "inputs", "outputs"), PAIRED)
def test_pairs_equal_the_product_in_float64(units, unit, inputs, outputs):
    assert strassen_kernels.suits(unit=unit, inputs=inputs, outputs=outputs)
    x, weight, bias = numbers(units * unit, inputs), numbers(outputs, inputs, seed=1), numbers(outputs, seed=2)
    exact, matrix, before = x.double() @ weight.double().T, PackedMatrix(weight), x.clone()
    close(matrix.times(x, unit=unit), exact, inputs, levels=1)
    close(matrix.times(x, unit=unit, bias=bias, relu=True), (exact + bias).relu(), inputs, levels=1)
    around = numbers(len(x) + 2, outputs, seed=3)
    first, last, onto = around[0].clone(), around[-1].clone(), around[1:-1]
    expected = exact + bias + onto
    assert matrix.times(x, unit=unit, bias=bias, onto=onto) is onto
    close(onto, expected, inputs, levels=1)
    assert torch.equal(around[0], first)
    assert torch.equal(around[-1], last)
    assert torch.equal(x, before)


def test_several_products_of_pairs_at_once():
    x, weight = numbers(48, 36, 128), numbers(36, 128, 128, seed=1)
    exact = torch.einsum("rpi,poi->rpo", x.double(), weight.double())
    close(PackedMatrix(weight).times(x, unit=16), exact, 128, levels=1)


@pytest.mark.parametrize(("units", "unit", "inputs", "outputs"), [(31, 49, 544, 192), (16, 130, 1024, 2048)])
def test_a_unit_has_the_same_bits_in_any_batch_with_any_threads(units, unit, inputs, outputs):
    x, matrix = numbers(units, unit, inputs), PackedMatrix(numbers(outputs, inputs, seed=1))
    whole = matrix.times(x, unit=unit)
    for first, last in [(0, 1), (7, 9), (3, units)]:
        assert torch.equal(matrix.times(x[first:last], unit=unit), whole[first:last])
    threads = torch.get_num_threads()
    try:
        for number in (1, 3, 5):
            torch.set_num_threads(number)
            assert torch.equal(matrix.times(x, unit=unit), whole)
    finally:
        torch.set_num_threads(threads)


def test_kernels_in_turn_do_not_read_what_another_left_in_their_memory():
    x, matrix = numbers(20, 49, 128), PackedMatrix(numbers(128, 128, seed=1))
    expected = [matrix.times(x, unit=unit) for unit in (1, 49)]
    scratch_memory("product", 0).fill_(255)
    assert all(torch.equal(matrix.times(x, unit=unit), was) for unit, was in zip((1, 49), expected, strict=True))


@pytest.mark.parametrize(("unit", "inputs", "outputs"), [(49, 128, 128), (130, 1024, 2048)])
def test_what_is_not_finite_stays_in_its_unit(unit, inputs, outputs):
    x, matrix = numbers(5, unit, inputs), PackedMatrix(numbers(outputs, inputs, seed=1))
    expected = matrix.times(x, unit=unit)
    x[2, -1, 7] = torch.nan
    out = matrix.times(x, unit=unit)
    assert out[2, -1].isnan().all()
    rest = [0, 1, 3, 4]
    assert torch.equal(out[rest], expected[rest])


def test_units_that_are_not_whole_are_refused():
    with pytest.raises(ValueError, match="100 rows, expected whole units of 49"):
        PackedMatrix(numbers(128, 128)).times(numbers(100, 128), unit=49)


def test_rows_of_a_batch_belong_together():
    layer, x = PackedLinear(numbers(128, 128), None), numbers(4, 7, 7, 128)
    assert torch.equal(layer(x), layer._matrix.times(x, unit=49))
    assert torch.equal(layer(x[:, 0, 0]), layer._matrix.times(x[:, 0, 0], unit=1))


def test_what_is_not_finite_stays_in_its_row():
    x, weight = numbers(20, 64), numbers(32, 64, seed=1)
    x[3, 5], x[19, 0] = torch.nan, torch.inf
    matrix = PackedMatrix(weight)
    out = matrix.times(x, relu=True)
    assert out[3].isnan().all()
    assert not out[19].isfinite().all()
    rest = [row for row in range(20) if row not in (3, 19)]
    assert torch.equal(out[rest], matrix.times(x[rest], relu=True))


def test_what_does_not_fit_is_refused_before_compiled_code_sees_it():
    matrix, bias = PackedMatrix(numbers(32, 64)), torch.zeros(32)
    with pytest.raises(TypeError, match="float32"):
        matrix.times(numbers(4, 64).double())
    with pytest.raises(ValueError, match=r"expected \[\.\.\., 64\]"):
        matrix.times(numbers(4, 48))
    with pytest.raises(ValueError, match="expected 32 columns"):
        matrix.times(numbers(4, 64), onto=torch.zeros(5, 32))
    with pytest.raises(ValueError, match="expected 32 columns"):
        matrix.times(numbers(4, 64), bias=torch.zeros(31))
    with pytest.raises(TypeError, match="contiguous"):
        matrix.times(numbers(4, 64), onto=torch.zeros(32, 4).T)
    with pytest.raises(ValueError, match="expected one of them"):
        matrix.times(numbers(4, 64), onto=torch.zeros(4, 32), into=torch.zeros(4, 32))
    with pytest.raises(ValueError, match="for 2 products"):
        PackedMatrix(numbers(2, 32, 64)).times(numbers(4, 64))
    assert matrix.times(numbers(0, 64), bias=bias).shape == (0, 32)


@pytest.mark.parametrize("shape", [(50, 64), (64, 70), (3, 50, 64)])
def test_weights_that_leave_parts_of_vectors_are_refused(shape):
    with pytest.raises(ValueError, match="expected sizes for whole vectors"):
        PackedMatrix(numbers(*shape))


def test_weights_that_are_not_on_the_cpu_are_refused_before_compiled_code_sees_them():
    with pytest.raises(TypeError, match=r"got torch\.float32 on meta"):
        PackedMatrix(torch.empty(64, 64, device="meta"))


def test_a_result_onto_what_is_multiplied_is_refused():
    both = numbers(10, 64)
    matrix, before = PackedMatrix(numbers(64, 64, seed=1)), both.clone()
    for x, onto in [(both, both), (both[:6], both[4:])]:
        with pytest.raises(ValueError, match="onto shares memory with x"):
            matrix.times(x, onto=onto)
    assert torch.equal(both, before)
    matrix.times(both[:5], onto=both[5:])
    close(both[5:], before[5:] + before[:5].double() @ numbers(64, 64, seed=1).double().T, 64)


def test_scratch_memory_lies_on_the_cpu_whatever_the_default_device(monkeypatch):
    monkeypatch.setattr(extractors.scratch_memory, "_of_thread", threading.local())
    with torch.device("meta"):
        assert scratch_memory("product", 64).device.type == "cpu"


@pytest.mark.parametrize("then", ["none", "relu", "silu"])
def test_both_linear_layers_agree(then):
    layer = nn.Linear(64, 48)
    packed, plain = (kind(layer.weight, layer.bias) for kind in (PackedLinear, PlainLinear))
    x, onto = numbers(3, 70, 64), numbers(3, 70, 48, seed=1)
    with torch.inference_mode():
        torch.testing.assert_close(packed(x, then=then), plain(x, then=then), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            packed(x, onto=onto.clone(), then=then), plain(x, onto=onto.clone(), then=then), rtol=1e-5, atol=1e-5
        )


def test_few_rows_odd_sizes_and_foreign_threads_do_not_suit(monkeypatch):
    assert not suits(inputs=64, outputs=64, rows=8)
    assert not suits(inputs=70, outputs=64, rows=200)
    assert not suits(inputs=64, outputs=50, rows=200)
    assert type(quick_linear(numbers(64, 64), None, rows=8)) is PlainLinear
    assert type(quick_linear(numbers(64, 64), None, rows=200)) is PackedLinear
    monkeypatch.setattr(openmp, "library", lambda: None)
    assert not suits(inputs=64, outputs=64, rows=200)


def test_linear_layers_of_a_network_are_packed_where_it_pays():
    network = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Sequential(nn.Linear(96, 50), nn.Linear(50, 64)))
    network.requires_grad_(False)
    x = numbers(5, 100, 64)
    expected = network(x)
    assert pack_linears(network, rows=500) == 1
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-5)
    assert pack_linears(network, rows=500) == 0


def test_cpus_with_narrower_vectors_give_the_same_numbers():
    x, weight = numbers(29, 64), numbers(48, 64, seed=1)
    close(PackedMatrix(weight).times(x), x.double() @ weight.double().T, 64)  # wider code is on disk now
    code = """
import sys, torch
from llvmlite import binding
asked, narrow = binding.get_host_cpu_features, binding.get_host_cpu_features()
narrow["avx512f"] = False
binding.get_host_cpu_features = lambda: narrow
from extractors import vector_code
binding.get_host_cpu_features = asked
from extractors.packed_product import PackedMatrix
assert vector_code.LANES == 8
torch.manual_seed(0)
for rows, inputs, outputs in [(1, 16, 8), (29, 1040, 24), (100, 64, 144)]:
    x, weight, onto = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(rows, outputs)
    exact = (x.double() @ weight.double().T + onto).relu()
    ours = PackedMatrix(weight).times(x, onto=onto.clone(), relu=True)
    assert (ours - exact).abs().max() < 3e-7 * inputs, (rows, inputs, outputs)
x, weight = torch.randn(90, 544), torch.randn(128, 544)
assert (PackedMatrix(weight).times(x, unit=9) - x.double() @ weight.double().T).abs().max() < 8e-7 * 544
x, weight, onto = torch.randn(130, 1024), torch.randn(2048, 1024), torch.randn(130, 2048)
exact = x.double() @ weight.double().T + onto
assert (PackedMatrix(weight).times(x, unit=130, onto=onto) - exact).abs().max() < 1.6e-6 * 1024
"""
    if not packed_product_can_narrow():
        pytest.skip("this CPU has no AVX2")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def packed_product_can_narrow():
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return bool(features.get("avx2") and features.get("fma"))


def test_a_cpu_without_vectors_leaves_products_to_torch(monkeypatch):
    from extractors import vector_code

    monkeypatch.setattr(vector_code, "LANES", 0)
    assert not packed_product.suits(inputs=64, outputs=64, rows=200)
