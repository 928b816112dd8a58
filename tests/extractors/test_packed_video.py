import pytest
import torch
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
