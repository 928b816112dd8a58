import pytest
import torch
from torch import nn

from extractors.visual.clip_blocks import QuickBlock, simplify_blocks
from extractors.weights.loading import fill_random


def tower(quick_gelu=True, **changes):
    from open_clip.transformer import QuickGELU, VisionTransformer

    options = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 3, "heads": 4, "mlp_ratio": 4.0} | changes
    network = VisionTransformer(**options, act_layer=QuickGELU if quick_gelu else nn.GELU, output_dim=24)
    fill_random(network, 0)
    return network.eval().requires_grad_(False)


def pictures(count):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(count))


def test_no_embedding_changes():
    network = tower()
    with torch.inference_mode():
        before = {count: network(pictures(count)) for count in (1, 5)}
        assert simplify_blocks(network) == 3
        assert sum(isinstance(part, QuickBlock) for part in network.modules()) == 3
        for count, expected in before.items():
            torch.testing.assert_close(network(pictures(count)), expected, rtol=1e-5, atol=1e-5)
    assert simplify_blocks(network) == 0


@pytest.mark.parametrize("other", [{"quick_gelu": False}, {"ls_init_value": 0.1}])
def test_other_blocks_are_left_alone(other):
    network = tower(**other)
    before = [type(part) for part in network.modules()]
    assert simplify_blocks(network) == 0
    assert [type(part) for part in network.modules()] == before


def test_towers_of_another_make_are_left_alone():
    assert simplify_blocks(nn.Sequential(nn.Conv2d(3, 4, 3))) == 0


def test_the_last_block_answers_for_the_first_token_alone_where_only_that_is_read():
    network, whole = tower(), tower(pool_type="avg")
    example = pictures(3)
    with torch.inference_mode():
        expected = whole(example)
        assert simplify_blocks(network) == simplify_blocks(whole) == 3
        tokens = torch.randn(3, 17, 64)
        assert [block(tokens.clone()).shape[1] for block in network.transformer.resblocks] == [17, 17, 1]
        assert [block(tokens.clone()).shape[1] for block in whole.transformer.resblocks] == [17, 17, 17]
        torch.testing.assert_close(whole(example), expected, rtol=1e-5, atol=1e-5)
