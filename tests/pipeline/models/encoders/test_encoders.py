"""HAN, MM-Pyramid and VALOR: rules of stacking and order that names and shapes do not tell."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.models.config import SYSTEMS, VALORConfig
from pipeline.models.encoders.han import HANEncoder, HybridAttentionLayer
from pipeline.models.encoders.mmpyr import MMPyrEncoder, TemporalBlock, window_mask
from pipeline.models.encoders.valor import VALOREncoder
from pipeline.models.official.loading import load_official, official_layout
from pipeline.models.predictions import Encoded


@pytest.fixture
def streams():
    return Encoded(torch.randn(2, 10, 32), torch.randn(2, 10, 32))


def shuffled(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def plain_hybrid(state, name, q, other, heads, norm="post"):
    """HAN's layer with torch's own attention, by published names."""
    dim = q.shape[-1]

    def attend(kind, query, memory):
        module = nn.MultiheadAttention(dim, heads, batch_first=True).eval()
        prefix = f"{name}.{kind}."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        return module(query, memory, memory)[0]

    def layer_norm(which, x):
        return functional.layer_norm(x, (dim,), state[f"{name}.{which}.weight"], state[f"{name}.{which}.bias"], 1e-5)

    def feed_forward(x):
        hidden = functional.linear(x, state[f"{name}.linear1.weight"], state[f"{name}.linear1.bias"]).clamp(min=0)
        return functional.linear(hidden, state[f"{name}.linear2.weight"], state[f"{name}.linear2.bias"])

    if norm == "post":
        q = layer_norm("norm1", q + attend("cm_attn", q, other) + attend("self_attn", q, q))
        return layer_norm("norm2", q + feed_forward(q))
    normed = layer_norm("norm1", q)
    q = q + attend("cm_attn", normed, other) + attend("self_attn", normed, normed)
    return q + feed_forward(layer_norm("norm2", q))


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_valor_updates_audio_first(norm, random_state, random_inputs):
    config = replace(SYSTEMS["valor-plus"], encoder=VALORConfig(norm=norm))
    state = random_state(official_layout(config).shapes)
    model = load_official("valor-plus", state, norm=norm)
    batch = random_inputs(config)
    audio, visual = model.front_end(batch["audio"], batch["visual_2d"], batch["visual_3d"])
    for number in range(4):
        name = f"hat_encoder.layers.{number}"
        audio = plain_hybrid(state, name, audio, visual, 8, norm)
        visual = plain_hybrid(state, name, visual, audio, 8, norm)
    if norm == "pre":
        audio, visual = (
            functional.layer_norm(
                stream, (256,), state[f"hat_encoder.final_norm_{m}.weight"], state[f"hat_encoder.final_norm_{m}.bias"]
            )
            for stream, m in ((audio, "a"), (visual, "v"))
        )
    found = model(**batch).features
    torch.testing.assert_close(found.audio, audio, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.visual, visual, atol=1e-4, rtol=0)


def test_han_uses_both_streams_from_before_and_only_the_last_of_its_layers(random_state, random_inputs):
    config = SYSTEMS["han"]
    state = random_state(official_layout(config, han_layers=3).shapes)
    model = load_official("han", state)
    assert len(model.encoder.layers) == 1
    batch = random_inputs(config)
    audio, visual = model.front_end(batch["audio"], batch["visual_2d"], batch["visual_3d"])
    found = model(**batch).features
    last = "hat_encoder.layers.2"
    torch.testing.assert_close(found.audio, plain_hybrid(state, last, audio, visual, 1), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.visual, plain_hybrid(state, last, visual, audio, 1), atol=1e-4, rtol=0)


def test_han_can_stack_too(streams):
    encoder = shuffled(HANEncoder(32, layers=2, heads=4, feed_forward=16, stacking="stacked"))
    first, second = encoder.layers
    middle = Encoded(first(*streams), first(streams.visual, streams.audio))
    torch.testing.assert_close(encoder(streams).audio, second(*middle))
    assert len(HANEncoder(32, layers=2, heads=4).layers) == 1


def plain_mmpyr(state, visual, audio, levels=4, heads=8):
    """MM-Pyramid's encoder from the reference's words, head by head, segment by segment, by published names."""
    dim = visual.shape[-1]

    def linear(name, x):
        return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def layer(name, query, memory, reach=None):
        size = dim // heads
        normed = functional.layer_norm(
            query, (dim,), state[f"{name}.sublayer.0.norm.weight"], state[f"{name}.sublayer.0.norm.bias"]
        )
        attention = f"{name}.self_attn.linears"
        q, k, v = linear(f"{attention}.0", normed), linear(f"{attention}.1", memory), linear(f"{attention}.2", memory)
        mixed = torch.zeros_like(q)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            for i in range(q.shape[1]):
                seen = [j for j in range(k.shape[1]) if reach is None or abs(i - j) <= reach]
                scores = (k[:, seen][..., part] @ q[:, i, part, None]).squeeze(-1) / size**0.5
                mixed[:, i, part] = (scores.softmax(-1)[:, :, None] * v[:, seen][..., part]).sum(1)
        query = query + linear(f"{attention}.3", mixed)
        normed = functional.layer_norm(
            query, (dim,), state[f"{name}.sublayer.1.norm.weight"], state[f"{name}.sublayer.1.norm.bias"]
        )
        return query + linear(f"{name}.feed_forward.w_2", linear(f"{name}.feed_forward.w_1", normed).relu())

    def temporal(name, x, dilation):
        x = x.transpose(1, 2)
        y = functional.conv1d(
            x, state[f"{name}.net.0.weight"], state[f"{name}.net.0.bias"], padding=dilation, dilation=dilation
        )
        y = functional.conv1d(y.relu(), state[f"{name}.net.2.weight"], state[f"{name}.net.2.bias"])
        return (x + y).relu().transpose(1, 2)

    stages = {"v": [], "a": []}
    for i in range(levels):
        name, now = f"MMP.capture.msa.{i}", {"v": visual, "a": audio}
        for m, other in (("v", "a"), ("a", "v")):
            within = layer(f"{name}.{m}sablock.layer", now[m], now[m], 2**i)
            across = layer(f"{name}.cmablock.layer", now[m], now[other], 2**i)
            both = torch.cat([within, across], -1)
            gated = linear(f"{name}.l{m}1", both).sigmoid() * within + linear(f"{name}.l{m}2", both).sigmoid() * across
            stages[m].append(temporal(f"MMP.capture.{m}network.{i}", gated, 2**i))
        visual, audio = stages["v"][-1], stages["a"][-1]
    found = {}
    for m in "va":
        columns = []
        for t in range(visual.shape[1]):
            sequence = torch.stack([stage[:, t] for stage in stages[m]], 1)
            mixed = layer(f"MMP.fusion.{m}adaptiveinteraction", sequence, sequence)
            columns.append((linear(f"MMP.fusion.{m}selectfusion", mixed).sigmoid() * mixed).sum(1))
        found[m] = torch.stack(columns, 1)
    return found["v"], found["a"]


def test_mmpyr_equals_the_words_of_the_reference(random_state, random_inputs):
    config = SYSTEMS["mmpyr"]
    state = random_state(official_layout(config).shapes)
    model = load_official("mmpyr", state)
    batch = random_inputs(config)
    with torch.no_grad():
        audio, visual = model.front_end(batch["audio"], batch["visual_2d"], batch["visual_3d"])
        visual, audio = plain_mmpyr(state, visual, audio)
        out = model(**batch)
    torch.testing.assert_close(out.features.audio, audio, atol=1e-4, rtol=0)
    torch.testing.assert_close(out.features.visual, visual, atol=1e-4, rtol=0)
    for stream, segment in ((audio, out.audio_segment), (visual, out.visual_segment)):
        expected = functional.linear(stream, state["fc_prob.weight"], state["fc_prob.bias"]).sigmoid()
        torch.testing.assert_close(segment, expected, atol=1e-5, rtol=0)


def test_window_is_a_band():
    mask = window_mask(5, 1, device=torch.device("cpu"))
    assert mask.int().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1]]
    assert window_mask(10, 8, device=torch.device("cpu")).sum() == 98


def test_temporal_block_is_a_dilated_convolution():
    block = TemporalBlock(6, dilation=4)
    streams = torch.randn(2, 2, 10, 6)
    for stream, found, weight, bias, mix, added in zip(
        streams, block(streams), block.neighbours.weight, block.neighbours.bias, block.mix.weight, block.mix.bias,
        strict=True,
    ):  # fmt: skip
        kernel = weight.T.unflatten(1, (3, 6)).transpose(1, 2)
        convolved = functional.conv1d(stream.transpose(1, 2), kernel, bias, padding=4, dilation=4)
        expected = (functional.linear(convolved.relu().transpose(1, 2), mix.T, added) + stream).relu()
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    conv = nn.Conv1d(6, 6, 3)
    bound = conv.weight.abs().max().item()
    assert block.neighbours.weight.abs().max().item() == pytest.approx(bound, rel=0.05)


def test_mmpyr_layers_start_from_copies():
    encoder = MMPyrEncoder(16, heads=2, feed_forward=8)
    first = encoder.levels[0].within
    for stream in range(2):
        torch.testing.assert_close(
            encoder.levels[3].across.feed_forward[0].weight.T, first.feed_forward[0].weight[stream]
        )
    torch.testing.assert_close(*encoder.fusion.layer.attention.query.weight)
    torch.testing.assert_close(*encoder.fusion.layer.attention.key_value.weight)
    assert not torch.equal(encoder.levels[1].within.attention.query.weight, first.attention.query.weight)
    assert not torch.equal(*first.attention.query.weight)


@pytest.mark.parametrize("segments", [3, 10, 24])
@pytest.mark.parametrize(
    "encoder",
    [
        HANEncoder(32, heads=4, feed_forward=16),
        VALOREncoder(32, layers=2, feed_forward=16, norm="pre"),
        MMPyrEncoder(32, levels=5, feed_forward=16),
    ],
    ids=["han", "valor", "mmpyr"],
)
def test_any_length_and_a_gradient_everywhere(encoder, segments):
    encoder.train()
    encoder.zero_grad()
    found = encoder(Encoded(torch.randn(2, segments, 32), torch.randn(2, segments, 32)))
    assert found.audio.shape == found.visual.shape == (2, segments, 32)
    (found.audio.square().sum() + found.visual.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_malformed():
    with pytest.raises(ValueError, match="norm 'middle': expected post or pre"):
        HybridAttentionLayer(8, heads=2, feed_forward=8, norm="middle")
    with pytest.raises(ValueError, match="stacking 'both'"):
        HANEncoder(8, stacking="both")
    with pytest.raises(ValueError, match="0 levels"):
        MMPyrEncoder(8, levels=0)
