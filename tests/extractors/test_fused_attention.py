import pytest
import torch

from extractors.clap_audio import build_audio_tower
from extractors.fused_attention import FusedWindowAttention, fuse_window_attention
from extractors.weights import fill_random


@pytest.fixture(scope="module")
def branch():
    tower = build_audio_tower().eval().requires_grad_(False)
    fill_random(tower, 0)
    for name, values in tower.named_parameters():  # large enough that bias and mask decide where is looked
        if "relative_position_bias_table" in name:
            values.copy_(torch.randn(values.shape, generator=torch.Generator().manual_seed(len(name))))
    return tower["audio_branch"]


def test_each_block_gives_what_it_gave(branch):
    blocks = [block for layer in branch.layers for block in layer.blocks]
    assert {block.attn_mask is None for block in blocks} == {True, False}
    inputs, before = [], []
    with torch.inference_mode():
        for number, block in enumerate(blocks):
            height, width = block.input_resolution
            generator = torch.Generator().manual_seed(number)
            inputs.append(torch.randn(3, height * width, block.dim, generator=generator))
            before.append(block(inputs[-1])[0])
        assert fuse_window_attention(branch) == len(blocks)
        for block, x, expected in zip(blocks, inputs, before, strict=True):
            assert isinstance(block.attn, FusedWindowAttention)
            torch.testing.assert_close(block(x)[0], expected, rtol=1e-5, atol=1e-5)
