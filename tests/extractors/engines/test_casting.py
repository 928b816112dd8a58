"""Networks that are cast to a half type once: what is cast, what stays in float32, and how far features move."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import densenet121

from extractors import registry
from extractors.engines.casting import cast_network, for_network
from extractors.engines.network import Network
from extractors.engines.runtime import check_precision
from extractors.engines.torch_engine import TorchEngine
from extractors.visual.resnet152 import ResNet152
from extractors.weights.loading import resolve
from storage.errors import InvalidInput


@pytest.fixture(scope="module", autouse=True)
def survivor():
    """Some virtual CPUs die on bfloat16."""
    try:
        check_precision("bfloat16", "cpu")
    except InvalidInput as refused:
        pytest.skip(str(refused))


class Small(nn.Module):
    """A convolution, a norm that cannot be folded, a buffer of each kind, and a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.conv, self.head = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.register_buffer("scale", torch.tensor([0.1, 0.2, 0.3]))
        self.register_buffer("table", torch.tensor([0.1]))
        self.register_buffer("places", torch.arange(3))

    def forward(self, pixels):
        return self.conv(self.norm(pixels)).mean((2, 3))


def compute(network, batch):
    return (network.head(network(for_network(network, batch * network.scale.view(3, 1, 1))).float()),)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_cast_and_what_is_kept_is_not(dtype):
    network = Small().eval()
    places = network.places.clone()
    cast_network(network, dtype, keep=("head", "scale"))
    assert {name for name, value in network.state_dict().items() if value.dtype == dtype} == {
        "conv.weight", "conv.bias", "table",
    }  # fmt: skip
    assert network.norm.running_mean.dtype == network.head.weight.dtype == network.scale.dtype == torch.float32
    assert torch.equal(network.places, places)
    assert for_network(network, torch.ones(1)).dtype == dtype


def test_a_name_that_begins_alike_is_not_kept():
    network = nn.ModuleDict({"norm": nn.LayerNorm(2), "norm1": nn.LayerNorm(2)})
    cast_network(network, torch.bfloat16, keep=("norm",))
    assert (network["norm"].weight.dtype, network["norm1"].weight.dtype) == (torch.float32, torch.bfloat16)


def test_a_network_that_was_not_cast_gets_its_input_as_it_is():
    x = torch.ones(2)
    assert for_network(Small(), x) is x


def test_channels_stay_last():
    conv = nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
    cast_network(conv, torch.bfloat16)
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_engine_casts_once_and_gives_float32():
    units = torch.rand(2, 3, 8, 8)
    example = units[:1]
    plain, half = (
        TorchEngine(
            Network("small", lambda: Small().eval(), compute, example, 2, float32_parts=("head", "scale")),
            device="cpu",
            precision=precision,
        )
        for precision in ("float32", "bfloat16")
    )
    seen = []
    conv = half._network.network.conv
    conv.register_forward_pre_hook(lambda part, given: seen.append((part.weight.data_ptr(), given[0].dtype)))
    (want,), (got,) = plain(units), half(units)
    half(units)
    assert got.dtype == torch.float32
    assert 0 < (got - want).abs().max() < 0.01 * want.abs().max()
    assert seen == [(conv.weight.data_ptr(), torch.bfloat16)] * 2


def test_norms_that_are_not_folded_take_a_half_type():
    network = densenet121().eval().requires_grad_(False)
    x = torch.rand(1, 3, 32, 32)
    want = network(x)
    cast_network(network, torch.bfloat16)
    got = network(for_network(network, x))
    assert got.dtype == torch.bfloat16
    assert torch.cosine_similarity(want, got.float()).item() > 0.999


@pytest.mark.parametrize(
    "name", ["vggish:pca", "efficientnet_lite0:scores", "yamnet", pytest.param("clap", marks=pytest.mark.slow)]
)
def test_half_precision_moves_features_a_little(name):
    if name == "clap":
        pytest.importorskip("laion_clap")
    plain, half = (
        registry.load(name, weights="random:0", precision=precision, engine="torch", clip_seconds=1)
        for precision in ("float32", "bfloat16")
    )
    noise = np.random.default_rng(0)
    if plain.unit_dtype == "uint8":
        units = noise.integers(0, 256, (1, *plain.unit_shape), dtype=np.uint8)
    else:
        units = noise.normal(-4, 2, (1, *plain.unit_shape)).astype(np.float32)
    for want, got in zip(plain.forward(torch.from_numpy(units)), half.forward(torch.from_numpy(units)), strict=True):
        assert got.dtype == torch.float32
        assert not torch.equal(got, want)
        assert torch.cosine_similarity(got.flatten(1), want.flatten(1)).item() > 0.999
        assert (got - want).abs().max() < 0.05 * want.abs().max()


def kept_in_float32(name):
    network = registry.load(name, weights="random:0", precision="bfloat16", engine="torch", clip_seconds=1)
    parts = network._engine._network.network
    return {key for key, value in parts.named_parameters() if value.dtype == torch.float32} | {
        key for key, value in parts.named_buffers() if value.dtype == torch.float32
    }


def test_heads_and_pixel_statistics_stay_in_float32():
    assert kept_in_float32("vggish:pca") == {"pproc.pca_eigen_vectors", "pproc.pca_means"}
    classifier = {"classifier.weight", "classifier.bias"}
    assert kept_in_float32("efficientnet_lite0:scores") == {"pixel_mean", "pixel_std"} | classifier
    assert kept_in_float32("yamnet") == set()


def test_pixels_are_normalised_in_float32():
    class Echo(ResNet152):
        def build_loaded(self, weights):
            network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2048, bias=False)).eval()
            nn.init.ones_(network[2].weight)
            for key, values in zip(("pixel_mean", "pixel_std"), self.normalisation, strict=True):
                network.register_buffer(key, torch.tensor(values))
            return network

    extractor = Echo(name="resnet152")
    extractor.load(resolve("random:0", extractor.weights_source), precision="bfloat16")
    seen = []
    network = extractor._engine._network.network
    network.register_forward_pre_hook(lambda part, given: seen.append(given[0]))
    units = torch.full((1, 224, 224, 3), 200, dtype=torch.uint8)
    extractor.forward(units)
    mean, std = (torch.tensor(values) for values in extractor.normalisation)
    assert torch.equal(seen[0][0, :, 0, 0], ((200 / 255 - mean) / std).bfloat16())
