import pytest
import torch
from torch import nn

from pipeline.models.attention import Attention, FeedForward
from pipeline.models.paired_layers import PairedLinear, PairedNorm, start_alike


def alone(paired, stream, kind):
    """The layer that one stream has."""
    made = kind()
    made.load_state_dict(
        {name: tensor[stream].T if tensor.ndim == 3 else tensor[stream] for name, tensor in paired.state_dict().items()}
    )
    return made.eval()


def shuffled(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.5, 0.5)
    return module.eval()


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 1, 5, 8), (2, 3, 4, 5, 8)])
@pytest.mark.parametrize(
    ("paired", "kind"),
    [
        (lambda: PairedLinear(8, 6), lambda: nn.Linear(8, 6)),
        (lambda: PairedNorm(8), lambda: nn.LayerNorm(8)),
        (lambda: FeedForward(8, 4, dropout=0.1, paired=True), lambda: FeedForward(8, 4, dropout=0.1)),
    ],
    ids=["linear", "norm", "feed-forward"],
)
def test_each_stream_passes_its_own_layer(paired, kind, shape):
    layer, x = shuffled(paired()), torch.randn(shape)
    found = layer(x)
    for stream in range(2):
        torch.testing.assert_close(found[stream], alone(layer, stream, kind)(x[stream]), atol=1e-6, rtol=1e-5)


def test_each_stream_has_its_own_attention():
    paired = shuffled(Attention(8, heads=2, paired=True))
    query, memory = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 4, 8)
    mask = torch.ones(5, 4, dtype=torch.bool).tril(1)
    found, weights = paired(query, memory, mask=mask)
    for stream in range(2):
        expected = alone(paired, stream, lambda: Attention(8, heads=2))(query[stream], memory[stream], mask=mask)
        torch.testing.assert_close(found[stream], expected[0], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(weights[stream], expected[1], atol=1e-6, rtol=1e-5)


def test_gradients_come_in_the_layout_of_the_weights():
    """Else autograd would copy each of them."""
    layer = PairedLinear(8, 6)
    layer(torch.randn(2, 5, 8)).square().sum().backward()
    assert layer.weight.grad.is_contiguous()


def test_starts_as_two_linear_layers_do():
    torch.manual_seed(0)
    paired, single = PairedLinear(256, 64), nn.Linear(256, 64)
    assert not torch.equal(*paired.weight)
    for leaf in ("weight", "bias"):
        bound = getattr(single, leaf).abs().max().item()
        assert getattr(paired, leaf).abs().max().item() == pytest.approx(bound, rel=0.05)
    copies = Attention(8, heads=2, start="copies", paired=True)
    torch.testing.assert_close(copies.key_value.weight, copies.query.weight.repeat(1, 1, 2))
    torch.testing.assert_close(copies.key_value.bias, copies.query.bias.repeat(1, 2))
    torch.testing.assert_close(copies.output.weight, copies.query.weight)
    assert not torch.equal(*copies.query.weight)


@pytest.mark.parametrize("kinds", [(True, False), (False, True), (True, True)])
def test_start_alike_reaches_both_streams(kinds):
    modules = [FeedForward(8, 4, dropout=0.1, paired=paired) for paired in kinds]
    start_alike(modules)
    weights = [part for module in modules for part in (module[0].weight if module[0].weight.ndim == 3 else
                                                       [module[0].weight.T])]  # fmt: skip
    for weight in weights[1:]:
        torch.testing.assert_close(weight, weights[0])
