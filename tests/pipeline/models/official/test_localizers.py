"""Published state dicts of AVE, PSP and CMBS: names, shapes, and what their networks compute, written out by name."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import layer_norm, linear

from pipeline.models.config import SYSTEMS
from pipeline.models.official.loading import load_official, official_layout
from storage.errors import InvalidInput, WeightsError

PUBLISHED = {
    "avel-ave": ("ave_weak", 27, 0, 1_335_246),
    "avel-psp": ("psp_weakly_thr0.099", 37, 3, 1_254_251),
    "avel-cmbs": ("cmbs_weak", 199, 68, 14_789_439),
    "avel-ave-supervised": ("ave_supervised", 27, 0, 1_335_246),
    "avel-dmrn": ("ave_dmrn", 33, 0, 1_571_150),
    "avel-psp-supervised": ("psp_fully_thr0.099", 47, 10, 1_667_251),
    "avel-cmbs-supervised": ("cmbs_supv", 220, 70, 13_544_537),
}
"""Name of the list, its tensors, those that the published code never reads, and its parameters."""


class Net:
    """The layers of a published state dict, by published name."""

    def __init__(self, state):
        self.state = state

    def below(self, name):
        return {key.removeprefix(f"{name}."): value for key, value in self.state.items() if key.startswith(f"{name}.")}

    def linear(self, name, x):
        return linear(x, self.state[f"{name}.weight"], self.state.get(f"{name}.bias"))

    def lstm(self, name, x):
        weights = self.below(name)
        hidden = weights["weight_hh_l0"].shape[1]
        layer = nn.LSTM(x.shape[-1], hidden, batch_first=True, bidirectional=True)
        layer.load_state_dict(weights)
        return layer(x)[0]

    def attend(self, name, query, memory, heads):
        layer = nn.MultiheadAttention(query.shape[-1], heads, batch_first=True)
        layer.load_state_dict(self.below(name))
        return layer(query, memory, memory, need_weights=False)[0]

    def norm(self, name, x, eps=1e-5):
        weights = self.below(name)
        return layer_norm(x, x.shape[-1:], weights["weight"], weights["bias"], eps)

    def guided(self, prefix, audio, grid):
        """AVE's attention; the term of the audio has a value a position."""
        seen = self.linear(f"{prefix}affine_v", self.linear(f"{prefix}affine_video", grid).relu())
        heard = self.linear(f"{prefix}affine_g", self.linear(f"{prefix}affine_audio", audio).relu())
        weights = self.linear(f"{prefix}affine_h", (seen + heard[..., :, None]).tanh()).softmax(dim=2)
        return torch.einsum("btpo,btpc->btc", weights, grid)


def ave_weak(net, audio, grid):
    heard, seen = net.lstm("lstm_audio", audio), net.lstm("lstm_video", net.guided("", audio, grid))
    scores = net.linear("L2", net.linear("L1", torch.cat([heard, seen], -1).relu()).relu())
    return {"segment": scores, "pooled": scores.max(dim=1).values.softmax(-1)}


def dmrn(net, audio, grid):
    heard, seen = net.lstm("lstm_audio", audio), net.lstm("lstm_video", net.guided("", audio, grid))
    of_sound, of_picture = (
        net.linear(f"{name}.2", net.linear(f"{name}.0", x).tanh()) for name, x in (("U_a", heard), ("U_v", seen))
    )
    both = (of_sound + of_picture) / 2
    return {"segment": net.linear("L2", ((seen + both).tanh() + (heard + both).tanh()) / 2)}


def pruned(similar, threshold):
    shares = similar / (similar.sum(-1, keepdim=True) + 1e-8)
    return shares * (shares > threshold)


def psp_supervised(net, audio, grid):
    audio = net.linear("fa.1", net.linear("fa.0", audio))
    seen = net.linear("fv.1", net.linear("fv.0", net.guided("attention.", audio, grid)))
    heard, seen = net.lstm("lstm_a_v.lstm_audio", audio), net.lstm("lstm_a_v.lstm_video", seen)
    v1, v2 = (net.linear(f"psp.v_L{number}", seen).relu() for number in (1, 2))
    a1, a2 = (net.linear(f"psp.a_L{number}", heard).relu() for number in (1, 2))
    similar = (v2 @ a1.transpose(1, 2) / 16).relu()
    to_seen, to_heard = pruned(similar, 0.099), pruned(similar.transpose(1, 2), 0.099)
    to_seen, to_heard = (x / (x.sum(-1, keepdim=True) + 1e-8) for x in (to_seen, to_heard))
    seen = net.norm("psp.layer_norm", net.linear("psp.v_fc", seen + to_seen @ a2).relu(), 1e-6)
    heard = net.norm("psp.layer_norm", net.linear("psp.a_fc", heard + to_heard @ v1).relu(), 1e-6)
    cosine = (seen * heard).sum(-1) / (seen.norm(dim=-1) * heard.norm(dim=-1))
    scores = net.linear("L2", net.linear("L1", (seen + heard) / 2).relu())
    return {"segment": scores, "similarity": cosine}


def psp_weak(net, audio, grid):
    seen = net.lstm("lstm_a_v.lstm_video", net.linear("linear_v", net.guided("attention.", audio, grid)))
    heard = net.lstm("lstm_a_v.lstm_audio", audio)
    v1, v2 = (net.linear(f"psp.v_L{number}", seen).relu() for number in (1, 2))
    a1, a2 = (net.linear(f"psp.a_L{number}", heard).relu() for number in (1, 2))
    similar = (v2 @ a1.transpose(1, 2) / 16).relu()
    seen, heard = (
        seen + pruned(similar, 0.095) @ a2,
        heard + pruned(similar.transpose(1, 2), 0.095) @ v1,
    )
    fused = (net.norm("psp.layer_norm", seen, 1e-6) + net.norm("psp.layer_norm", heard, 1e-6)) / 2
    scores = net.linear("L2", net.linear("L1", fused).relu())
    scores = scores * net.linear("W3", scores).relu().sigmoid()
    return {"segment": scores, "pooled": scores.mean(dim=1).softmax(-1)}


def channel_attention(net, audio, grid, beta):
    ask = {key: (lambda x, key=key: net.linear(f"spatial_channel_att.{key}", x)) for key in (
        "video_query", "video_key", "video_value", "affine_video_ave", "affine_video_3", "ave_v_att", "affine_audio_1",
        "affine_video_1", "affine_bottleneck", "affine_v_c_att", "affine_video_2", "affine_audio_2", "affine_v_s_att",
    )}  # fmt: skip
    weights = (ask["video_query"](grid) @ ask["video_key"](grid).transpose(-1, -2)).softmax(-1)
    among = net.norm("spatial_channel_att.norm", grid + weights @ ask["video_value"](grid))
    mean = ask["affine_video_ave"](among.mean(dim=2, keepdim=True)).relu()
    share = ask["ave_v_att"](ask["affine_video_3"](among).relu() * mean).tanh().softmax(dim=2)
    summary = (share * among).sum(dim=2)
    agreed = (ask["affine_audio_1"](audio).relu()[:, :, None] * ask["affine_video_1"](among).relu()).mean(dim=2)
    channels = ask["affine_v_c_att"](ask["affine_bottleneck"](agreed).relu()).sigmoid()[:, :, None]
    chosen = grid * (channels + 1)
    agreed = ask["affine_video_2"](chosen).relu() * ask["affine_audio_2"](audio).relu()[:, :, None]
    found = (ask["affine_v_s_att"](agreed).tanh().softmax(dim=2) * chosen).sum(dim=2)
    return found + beta * summary.sigmoid() * found


def relation_layer(net, name, attention, query, memory):
    query = net.norm(f"{name}.norm1", query + net.attend(f"{name}.{attention}", query, memory, 4))
    hidden = net.linear(f"{name}.linear2", net.linear(f"{name}.linear1", query).relu())
    return net.norm(f"{name}.norm2", query + hidden)


def related(net, audio, seen):
    """Memories and decoded streams, each ``(audio, video)``."""
    memory = {}
    for letter, stream in (("audio", audio), ("video", seen)):
        x = net.linear(f"{letter}_encoder.affine_matrix", stream)
        for number in (0, 1):
            x = relation_layer(net, f"{letter}_encoder.encoder.layers.{number}", "self_attn", x, x)
        memory[letter] = x
    decoded = []
    for letter, stream, other in (("audio", audio, "video"), ("video", seen, "audio")):
        x = net.linear(f"{letter}_decoder.affine_matrix", stream)
        name = f"{letter}_decoder.decoder.layers.0"
        decoded.append(relation_layer(net, name, "multihead_attn", x, torch.cat([memory[other], x], dim=1)))
    return memory["audio"], memory["video"], *decoded


def interacted(net, heard, seen, heads):
    for name in ("AVInter", "VAInter"):
        both = heard * seen
        order = (heard, seen) if name == "AVInter" else (seen, heard)
        asked = net.attend(f"{name}.video_multihead", both, torch.cat(order, dim=1), heads)
        new = net.norm(f"{name}.norm1", both + asked)
        heard, seen = (heard, new) if name == "AVInter" else (new, seen)
    return (heard + seen) / 2


def cmbs_weak(net, audio, grid):
    seen = channel_attention(net, audio, net.linear("v_fc", grid).relu(), beta=0.5)
    audio_memory, video_memory, heard, seen = related(net, audio, seen)
    of_picture = net.linear("audio_gated.0", video_memory).sigmoid()
    of_sound = net.linear("video_gated.0", audio_memory).sigmoid()
    seen, heard = seen * (0.8 + 0.2 * of_picture), heard * (0.8 + 0.2 * of_sound)
    gates = (net.linear("video_cas", seen).sigmoid() + net.linear("audio_cas", heard).sigmoid()) * 0.5
    fused = interacted(net, heard, seen, heads=2)
    scores = gates * (fused @ net.state["CAS_model.classifier.0.weight"][..., 0].T)
    video = scores.sort(dim=1, descending=True).values[:, :4].mean(dim=1, keepdim=True)
    gate = (of_picture + of_sound) / 2
    pooled = (gate * video).max(dim=1).values.softmax(-1)
    return {"segment": video.expand(-1, 10, -1), "pooled": pooled, "event": gate[..., 0]}


def top_mean(scores):
    return scores.sort(dim=1, descending=True).values[:, :4].mean(dim=1)


def cmbs_supervised(net, audio, grid):
    seen = channel_attention(net, audio, net.linear("v_fc", grid).relu(), beta=0.4)
    heard = net.lstm("audio_visual_rnn_layer.audio_rnn", audio)
    seen = net.lstm("audio_visual_rnn_layer.visual_rnn", seen)
    audio_memory, video_memory, heard, seen = related(net, heard, seen)
    of_sound = net.linear("audio_gated.0", audio_memory).sigmoid()
    of_picture = net.linear("video_gated.0", video_memory).sigmoid()
    seen, heard = seen + 0.1 * of_sound * seen, heard + 0.1 * of_picture * heard
    streams = (top_mean(net.linear("video_cas", seen)) + top_mean(net.linear("audio_cas", heard))) / 2
    fused = interacted(net, heard, seen, heads=4)
    events = net.linear("localize_module.classifier", fused)[..., 0]
    categories = net.linear("localize_module.event_classifier", fused.max(dim=1).values) + 0.3 * streams
    return {
        "event_scores": events, "event": events.sigmoid(), "gate": (of_sound * of_picture)[..., 0],
        "categories": categories, "stream_categories": streams,
    }  # fmt: skip


NETWORKS = {
    "avel-ave": ave_weak, "avel-psp": psp_weak, "avel-cmbs": cmbs_weak, "avel-ave-supervised": ave_weak,
    "avel-dmrn": dmrn, "avel-psp-supervised": psp_supervised, "avel-cmbs-supervised": cmbs_supervised,
}  # fmt: skip


def batch_of(rng):
    audio = np.maximum(rng.uniform(-1, 1, (2, 10, 128)), 0)
    grid = np.maximum(rng.uniform(-1, 1, (2, 10, 49, 512)), 0)
    return torch.from_numpy(audio).float(), torch.from_numpy(grid).float()


@pytest.mark.parametrize("system", PUBLISHED)
def test_names_and_counts(system):
    _, tensors, dead, parameters = PUBLISHED[system]
    layout = official_layout(SYSTEMS[system])
    assert (len(layout.shapes), len(layout.shapes) - len(layout.used)) == (tensors, dead)
    assert layout.parameters() == parameters


@pytest.mark.parametrize("system", PUBLISHED)
def test_names_and_shapes_are_the_published_ones(system, published):
    found = published(PUBLISHED[system][0])
    shapes = official_layout(SYSTEMS[system]).shapes
    assert shapes == {name: tuple(shape) for name, shape in found["state_shapes"].items()}
    assert found["n_params"] == PUBLISHED[system][3]


@pytest.mark.parametrize("system", PUBLISHED)
def test_the_network_is_the_one_that_the_names_describe(system, random_state):
    """In double precision inside ``DataParallel``, as CMBS saves it; tensors that are never read hold NaN."""
    layout = official_layout(SYSTEMS[system])
    state = random_state(layout.shapes, seed=4)
    audio, grid = batch_of(np.random.default_rng(0))
    dead = set(layout.shapes) - layout.used
    saved = {
        f"module.{name}": (tensor * torch.nan if name in dead else tensor).double() for name, tensor in state.items()
    }
    model = load_official(system, saved)
    with torch.no_grad():
        expected = NETWORKS[system](Net(state), audio, grid)
        out = model(audio=audio, visual_2d=grid.flatten(2))
    for part, values in expected.items():
        torch.testing.assert_close(getattr(out, part), values, atol=2e-6, rtol=1e-5)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert set(model.state_dict()) == set(layout.translate(state))


def test_a_state_dict_of_another_system_is_named():
    state = {name: torch.zeros(shape) for name, shape in official_layout(SYSTEMS["avel-psp"]).shapes.items()}
    with pytest.raises(WeightsError, match=r"expected 27 tensors, got 37; .* It is one of avel-psp$"):
        load_official("avel-ave", state)
    with pytest.raises(InvalidInput, match=r"'leap-avel-ave' is unknown. Did you mean avel-ave"):
        load_official("leap-avel-ave", state)
