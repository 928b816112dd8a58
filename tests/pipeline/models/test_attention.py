import pytest
import torch
from torch import nn

from pipeline.models.attention import Attention, FeedForward
from pipeline.models.paired_layers import start_alike


def test_equals_torchs():
    ours = Attention(32, heads=4).eval()
    theirs = nn.MultiheadAttention(32, 4, batch_first=True).eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.uniform_(-0.3, 0.3)
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    query, memory = torch.randn(3, 5, 32), torch.randn(3, 7, 32)
    mask = torch.rand(5, 7) < 0.6
    mask[:, 0] = True
    found, weights = ours(query, memory, mask=mask)
    expected, expected_weights = theirs(query, memory, memory, attn_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(weights, expected_weights, atol=1e-6, rtol=0)


def test_starts_as_the_published_code_does():
    torch.manual_seed(0)
    packed, theirs = Attention(64, heads=1), nn.MultiheadAttention(64, 1)
    bound = theirs.in_proj_weight.abs().max().item()
    assert packed.query.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert packed.key_value.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert not packed.key_value.bias.any()
    assert not packed.output.bias.any()
    copies = Attention(8, heads=2, start="copies")
    for linear in (copies.output, copies.query):
        torch.testing.assert_close(copies.key_value.weight, linear.weight.repeat(2, 1))
        torch.testing.assert_close(copies.key_value.bias, linear.bias.repeat(2))
    first, second = FeedForward(4, 8, dropout=0.1), FeedForward(4, 8, dropout=0.1)
    start_alike([first, second])
    torch.testing.assert_close(first[0].weight, second[0].weight)
    assert first[0].weight is not second[0].weight


def test_one_query_serves_all_clips():
    attention = Attention(8, heads=2).eval()
    query, memory = torch.randn(1, 5, 8), torch.randn(3, 4, 8)
    together, _ = attention(query, memory)
    apart, _ = attention(query.expand(3, -1, -1), memory)
    torch.testing.assert_close(together, apart)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="3 heads do not divide 8 dimensions"):
        Attention(8, heads=3)
