"""Zero channels between two convolutions change no feature."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models.video import r2plus1d_18

from extractors import registry
from extractors.engines.channel_padding import pad_channels
from extractors.engines.folding import fold_batch_norms
from extractors.engines.network import Network
from extractors.engines.torch_engine import prepared
from extractors.weights.loading import resolve


def widths(network):
    return [part.out_channels for part in network.modules() if isinstance(part, nn.Conv3d)]


def shaken(network):
    """Batch norms that do something."""
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm3d):
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(part.bias, -0.1, 0.1)
    return network.eval().requires_grad_(False)


def test_r2plus1d_is_widened_to_eights_and_gives_the_same():
    network = shaken(r2plus1d_18())
    fold_batch_norms(network, torch.rand(1, 3, 4, 32, 32))
    plain = copy.deepcopy(network)
    assert {45, 230, 460, 921} < set(widths(network))
    assert pad_channels(network) == 7
    assert {48, 232, 464, 928} < set(widths(network))
    assert all(width % 8 == 0 for width in widths(network))
    x = torch.rand(2, 3, 8, 48, 48)
    want, got = plain(x), network(x)
    assert (got - want).abs().max() <= 1e-6 * want.abs().max()
    assert pad_channels(network) == 0


class Overridden(nn.Sequential):
    """What lies between its layers is seen by others."""

    def forward(self, x):
        return self[2](self[1](self[0](x))) + self[0](x).mean()


SHARED = nn.Conv2d(5, 5, 1)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 4, 1)),
        nn.Sequential(nn.Conv2d(3, 5, 1), nn.Sigmoid(), nn.Conv2d(5, 4, 1)),
        nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 1)),
        nn.Sequential(nn.Conv2d(4, 6, 1, groups=2), nn.ReLU(), nn.Conv2d(6, 4, 1)),
        nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU()),
        nn.Sequential(SHARED, nn.ReLU(), SHARED),
        Overridden(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Conv2d(5, 4, 1)),
    ],
    ids=["even", "no ReLU", "a norm", "groups", "no second", "shared", "overridden"],
)
def test_other_layers_are_left_alone(network):
    before = [weight.shape for weight in network.parameters()]
    assert pad_channels(network) == 0
    assert [weight.shape for weight in network.parameters()] == before


def test_without_a_bias():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.ReLU(), nn.Conv2d(5, 4, 3))
    x = torch.rand(1, 3, 8, 8)
    want = network(x)
    assert pad_channels(network) == 1
    torch.testing.assert_close(network(x), want)


def test_the_engine_widens_where_it_is_asked_to():
    extractor = registry.create("r2plus1d_18", clip_seconds=1)
    weights = resolve("random:0", extractor.weights_source)
    example = torch.zeros(1, 4, 16, 16, 3, dtype=torch.uint8)
    network = Network("r2plus1d_18", lambda: extractor.build_loaded(weights), extractor.compute, example, 1)
    assert 45 in widths(prepared(network))
    wide = prepared(network, padded=True)
    assert all(width % 8 == 0 for width in widths(wide))
    weights_5d = [part.weight for part in wide.modules() if isinstance(part, nn.Conv3d)]
    assert all(weight.is_contiguous(memory_format=torch.channels_last_3d) for weight in weights_5d)
