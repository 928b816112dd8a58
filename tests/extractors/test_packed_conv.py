import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from extractors.packed_conv import PackedBottleneck, pack_bottlenecks, pack_sequence
from extractors.runtime import fold_batch_norms
from extractors.weights import fill_random


@pytest.fixture(scope="module")
def network():
    net = resnet50().eval().requires_grad_(False)
    fill_random(net, 0)
    fold_batch_norms(net, torch.zeros(1, 3, 64, 64))
    return net.to(memory_format=torch.channels_last)


def batch(size):
    generator = torch.Generator().manual_seed(size)
    return torch.randn(size, 3, 64, 64, generator=generator).contiguous(memory_format=torch.channels_last)


def test_packing_changes_no_output_at_any_batch_size(network):
    with torch.inference_mode():
        before = {size: network(batch(size)) for size in (1, 3, 8)}
        assert pack_bottlenecks(network, batch(8)) == 16
        assert sum(isinstance(part, PackedBottleneck) for part in network.modules()) == 16
        for size, expected in before.items():
            inputs = batch(size)
            torch.testing.assert_close(network(inputs), expected, rtol=1e-5, atol=1e-5)
            assert torch.equal(inputs, batch(size))
        assert pack_bottlenecks(network, batch(8)) == 0


def test_a_network_that_is_not_folded_is_left_alone():
    net = resnet50().eval()
    assert pack_bottlenecks(net, batch(1)) == 0


def test_numbers_that_would_change_are_put_back(monkeypatch):
    net = resnet50().eval().requires_grad_(False)
    fold_batch_norms(net, torch.zeros(1, 3, 64, 64))
    whole = PackedBottleneck.forward
    monkeypatch.setattr(PackedBottleneck, "forward", lambda self, x: whole(self, x) * 1.01)
    blocks = [type(part) for part in net.modules()]
    assert pack_bottlenecks(net, batch(1)) == 0
    assert [type(part) for part in net.modules()] == blocks


def test_a_sequence_is_packed_where_a_relu_follows():
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(128, 128, 3, padding=1), nn.Sigmoid(),
    ).requires_grad_(False).to(memory_format=torch.channels_last)  # fmt: skip
    with torch.inference_mode():
        before = {size: layers(batch(size)) for size in (1, 4)}
        assert pack_sequence(layers, batch(4)) == 2
        assert [type(part).__name__ for part in layers] == [
            "PackedConvReLU", "Identity", "PackedConvReLU", "Identity", "MaxPool2d", "Conv2d", "Sigmoid",
        ]  # fmt: skip
        for size, expected in before.items():
            torch.testing.assert_close(layers(batch(size)), expected, rtol=1e-5, atol=1e-5)
    assert pack_sequence(layers, batch(4)) == 0
