import pytest
import torch
from torch import nn
from torchvision.models.video import r2plus1d_18

from extractors import packed_video
from extractors.packed_video import PackedBlock, PackedStem, pack_r2plus1d
from extractors.runtime import fold_batch_norms
from extractors.weights import fill_random


@pytest.fixture
def network():
    net = r2plus1d_18().eval().requires_grad_(False)
    fill_random(net, 0)
    fold_batch_norms(net, torch.zeros(1, 3, 8, 32, 32))
    return net.to(memory_format=torch.channels_last_3d)


def batch(clips, frames=8):
    generator = torch.Generator().manual_seed(clips)
    pixels = torch.randn(clips, 3, frames, 32, 32, generator=generator)
    return pixels.contiguous(memory_format=torch.channels_last_3d)


def test_packing_changes_no_output_at_any_batch_size(network):
    with torch.inference_mode():
        before = {clips: network(batch(clips)) for clips in (1, 2, 4)}
        assert pack_r2plus1d(network, batch(4)) == 9
        assert isinstance(network.stem, PackedStem)
        assert sum(isinstance(part, PackedBlock) for part in network.modules()) == 8
        for clips, expected in before.items():
            inputs = batch(clips)
            torch.testing.assert_close(network(inputs), expected, rtol=1e-4, atol=1e-5)
            assert torch.equal(inputs, batch(clips))
            torch.testing.assert_close(network(inputs.contiguous()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_odd_channels_between_two_convolutions_are_filled_up(bias):
    torch.manual_seed(0)
    space = nn.Conv3d(16, 21, (1, 3, 3), padding=(0, 1, 1), bias=bias).requires_grad_(False)
    time = nn.Conv3d(21, 32, (3, 1, 1), padding=(1, 0, 0), bias=bias).requires_grad_(False)
    x = torch.randn(2, 16, 4, 6, 6)
    inner = space(x).relu()
    first, second = packed_video._flat_pair(space, time, {space: list(x.shape), time: list(inner.shape)})
    with torch.inference_mode():
        found = first(x.permute(0, 2, 3, 4, 1).contiguous(), then="relu")
        torch.testing.assert_close(found[..., :21].permute(0, 4, 1, 2, 3), inner, rtol=1e-4, atol=1e-5)
        assert found.shape[-1] == 32
        assert not found[..., 21:].any()
        torch.testing.assert_close(second(found).permute(0, 4, 1, 2, 3), time(inner), rtol=1e-4, atol=1e-5)


def test_a_network_that_is_not_folded_is_left_alone():
    assert pack_r2plus1d(r2plus1d_18().eval(), batch(1)) == 0


def test_numbers_that_would_change_are_put_back(network, monkeypatch):
    whole = PackedBlock.forward
    monkeypatch.setattr(PackedBlock, "forward", lambda self, x: whole(self, x) * 1.01)
    kinds = [type(part) for part in network.modules()]
    assert pack_r2plus1d(network, batch(1)) == 0
    assert [type(part) for part in network.modules()] == kinds


def test_without_the_operators_nothing_changes(network, monkeypatch):
    monkeypatch.setattr(packed_video, "has_operators", lambda: False)
    assert pack_r2plus1d(network, batch(1)) == 0
