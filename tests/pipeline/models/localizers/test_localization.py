"""Encoders, scorers and poolings of event localization: sizes as published, arithmetic by hand, gradients."""

import math
from dataclasses import asdict

import pytest
import torch

from pipeline.models.config import LOCALIZERS
from pipeline.models.decoders.leap import LEAPDecoder
from pipeline.models.encoders.ave import AudioGuidedAttention
from pipeline.models.encoders.cmbs_attention import GridSelfAttention
from pipeline.models.encoders.dmrn import DualResidualFusion
from pipeline.models.encoders.psp import PositivePropagation
from pipeline.models.factory import build_model
from pipeline.models.localizers.localization import Fused
from pipeline.models.localizers.pooling import EventPooling, GatedMeanPooling, MaxPooling, TopPooling
from pipeline.models.localizers.scorers import LEAPScorer, MLPScorer
from pipeline.models.paired_layers import start_alike
from pipeline.models.predictions import Encoded
from storage.errors import InvalidInput

SMALL = {
    "features": {"audio_dim": 6, "visual_2d_dim": 4 * 8, "visual_3d_dim": 0}, "positions": 4, "classes": 5,
    "segments": 3,
}  # fmt: skip


def small(system, **changes):
    torch.manual_seed(0)
    model = build_model({"system": system, **SMALL, **changes})
    batch = {"audio": torch.rand(2, 3, 6), "visual_2d": torch.rand(2, 3, 32), "labels": torch.randn(5, 300)}
    return model, batch


def dead_weights(published, name):
    """How many numbers of a published state dict its forward pass never reads."""
    unread = {
        "ave_weak": (),
        "psp_weakly_thr0.099": ("temperature", "W1.", "W2."),
        "cmbs_weak": ("classifier.", "spatial_channel_att.ave_bottleneck."),
        "ave_supervised": (),
        "ave_dmrn": (),
        "psp_fully_thr0.099": ("linear_v.", "v_classify.", "a_classify.", "L3.", "L4."),
        "cmbs_supv": ("spatial_channel_att.ave_bottleneck.", "video_norm.", "audio_norm."),
    }[name]
    shapes = published(name)["state_shapes"]
    templates = (".encoder_layer.", ".decoder_layer.", ".decoder.layers.0.self_attn.")
    dead = [k for k in shapes if k.startswith(unread) or any(part in k for part in templates)]
    return sum(math.prod(shapes[key]) for key in dead)


@pytest.mark.parametrize(("system", "name"), [
    ("avel-ave", "ave_weak"), ("avel-psp", "psp_weakly_thr0.099"), ("avel-cmbs", "cmbs_weak"),
])  # fmt: skip
def test_sizes_are_the_published_ones_without_dead_weights(published, system, name):
    model = build_model(LOCALIZERS[system])
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == published(name)["n_params"] - dead_weights(published, name)


@pytest.mark.parametrize("system", LOCALIZERS)
def test_shapes_probabilities_and_gradients(system):
    model, batch = small(system)
    out = model(**batch)
    assert out.segment.shape == (2, 3, 5)
    assert (out.event is None) == ("cmbs" not in system)
    torch.testing.assert_close(out.pooled.sum(dim=1), torch.ones(2))
    assert (out.video is None) == (not system.startswith("leap"))
    loss = out.pooled[:, 1].log().sum()
    loss = loss + sum(part.sum() for part in (out.similarity, out.event_scores, out.gate) if part is not None)
    if out.video is not None:
        torch.testing.assert_close(out.video.sum(dim=1), torch.ones(2))
        assert out.attention.shape == (2, 8, 5, 3)
        assert out.label_features.shape == (2, 5, 256)
        loss = loss + out.video[:, 1].log().sum()
    loss.backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("system", LOCALIZERS)
def test_a_clip_does_not_depend_on_its_neighbours(system):
    model, batch = small(system)
    model.eval()
    whole, alone = (
        model(audio=batch["audio"][rows], visual_2d=batch["visual_2d"][rows], labels=batch["labels"])
        for rows in (slice(0, 2), slice(1, 2))
    )
    torch.testing.assert_close(whole.segment[1:], alone.segment)


def test_attention_is_the_published_arithmetic():
    torch.manual_seed(1)
    layer = AudioGuidedAttention(6, 8, positions=4, hidden=7)
    audio, grid = torch.rand(1, 1, 6), torch.rand(1, 1, 4, 8)
    logits = []
    heard = layer.audio_to_positions.weight @ layer.audio(audio[0, 0]).relu()
    for position in range(4):
        looked = layer.visual_to_hidden.weight @ layer.visual(grid[0, 0, position]).relu()
        logits.append(layer.weight.weight[0] @ torch.tanh(looked + heard[position]))  # one number for all hidden units
    expected = torch.stack(logits).softmax(dim=0) @ grid[0, 0]
    torch.testing.assert_close(layer(audio, grid)[0, 0], expected)


def test_self_attention_of_positions_is_not_scaled():
    torch.manual_seed(1)
    layer, grid = GridSelfAttention(8, dropout=0.0), torch.rand(1, 4, 8)
    weights = (layer.query(grid[0]) @ layer.key(grid[0]).T).softmax(dim=1)
    torch.testing.assert_close(layer(grid)[0], layer.norm(grid[0] + weights @ layer.value(grid[0])))


def test_propagation_prunes_and_does_not_normalise_again():
    layer = PositivePropagation(4, threshold=0.25, dropout=0.0)
    similar = torch.tensor([[[1.0, 2.0, 5.0], [0.0, 0.0, 0.0], [1.0, 1.0, 2.0]]])
    expected = torch.tensor([[[0.0, 0.0, 0.625], [0.0, 0.0, 0.0], [0.0, 0.0, 0.5]]])  # 0.25 is not above 0.25
    torch.testing.assert_close(layer.pruned(similar), expected)


def test_supervised_propagation_normalises_what_is_left():
    layer = PositivePropagation(4, threshold=0.2, dropout=0.0, supervised=True)
    similar = torch.tensor([[[1.0, 2.0, 5.0], [0.0, 0.0, 0.0], [2.0, 1.0, 2.0]]])
    expected = torch.tensor([[[0.0, 2 / 7, 5 / 7], [0.0, 0.0, 0.0], [0.5, 0.0, 0.5]]])
    torch.testing.assert_close(layer.pruned(similar), expected)


def test_dmrns_fusion_by_hand():
    torch.manual_seed(3)
    fusion, audio, visual = DualResidualFusion(4, blocks=2), torch.rand(1, 3, 4), torch.rand(1, 3, 4)
    found = fusion(audio, visual)
    for _ in range(2):
        shared = (fusion.audio(audio) + fusion.visual(visual)) / 2
        audio, visual = torch.tanh(visual + shared), torch.tanh(audio + shared)  # they change places
    torch.testing.assert_close(found, (audio + visual) / 2)


def test_nothing_is_propagated_between_segments_that_do_not_agree():
    layer = PositivePropagation(4, threshold=0.1, dropout=0.0)
    streams = Encoded(torch.rand(1, 3, 4), torch.rand(1, 3, 4))
    with torch.no_grad():
        layer.audio_key.weight.fill_(-1)  # negative everywhere, and zero after the ReLU
    out = layer(streams)
    torch.testing.assert_close(out.audio, layer.norm(streams.audio))
    torch.testing.assert_close(out.visual, layer.norm(streams.visual))


SCORES = torch.tensor([[[1.0, 0.0], [3.0, 0.5], [2.0, 4.0]]])  # [clips 1, segments 3, classes 2]


def test_max_pooling_by_hand():
    out = MaxPooling()(SCORES, Fused(SCORES))
    torch.testing.assert_close(out.pooled, torch.tensor([[3.0, 4.0]]).softmax(dim=1))
    assert out.segment is SCORES


def test_gated_mean_by_hand():
    pooling = GatedMeanPooling(2)
    with torch.no_grad():
        pooling.weight.weight.copy_(torch.tensor([[1.0, -1.0]]))
    gate = torch.tensor([1.0, 2.5, 0.0]).sigmoid()  # of the ReLU of 1, 2.5 and -2
    out = pooling(SCORES, Fused(SCORES))
    torch.testing.assert_close(out.segment, SCORES * gate[None, :, None])
    torch.testing.assert_close(out.pooled, (SCORES * gate[None, :, None]).mean(dim=1).softmax(dim=1))


def test_top_pooling_by_hand():
    gate, class_gate = torch.tensor([[0.2, 0.9, 0.5]]), torch.full((1, 3, 2), 2.0)
    out = TopPooling(top=2)(SCORES, Fused(SCORES, gate, class_gate))
    video = torch.tensor([[5.0, 4.5]])  # mean of the two highest of 2, 6, 4 and of 0, 1, 8
    torch.testing.assert_close(out.segment, video[:, None].expand(1, 3, 2))
    torch.testing.assert_close(out.pooled, (0.9 * video).softmax(dim=1))
    assert out.event is gate


def test_event_pooling_by_hand():
    fused = Fused(
        torch.zeros(1, 3, 4), torch.tensor([[0.1, 0.2, 0.3]]), event_scores=torch.tensor([[0.0, -1.0, 2.0]]),
        stream_categories=torch.tensor([[1.0, 2.0]]),
    )  # fmt: skip
    with_background = torch.cat([SCORES, torch.full((1, 3, 1), 9.0)], dim=2)
    for scores in (SCORES, SCORES.amax(dim=1, keepdim=True), with_background):
        out = EventPooling(gamma=0.5)(scores, fused)
        torch.testing.assert_close(out.categories, torch.tensor([[3.5, 5.0]]))
        torch.testing.assert_close(out.segment, torch.tensor([[[3.5, 5.0, 3.5]]]).expand(1, 3, 3))
        torch.testing.assert_close(out.pooled, torch.tensor([[3.5, 5.0, -torch.inf]]).softmax(dim=1))
        torch.testing.assert_close(out.event, torch.tensor([[0.0, -1.0, 2.0]]).sigmoid())
        assert out.gate is fused.gate


def test_a_video_is_scored_by_its_largest_values():
    scorer = MLPScorer(2, classes=3, hidden=0, over="video")
    largest = torch.tensor([[[3.0, 4.0]]])
    torch.testing.assert_close(scorer(SCORES).segments, scorer.layers[0](largest))


def test_the_scorer_is_leaps_decoder_of_one_stream():
    torch.manual_seed(2)
    decoder = LEAPDecoder(16, classes=5, label_dim=7, heads=4, feed_forward=12).eval()
    scorer = LEAPScorer(16, classes=5, width=16, label_dim=7, heads=4, feed_forward=12).eval()
    scorer.labels.load_state_dict(decoder.labels.state_dict())
    start_alike([decoder.blocks, scorer.blocks])
    start_alike([decoder.video, scorer.video])
    stream, labels = torch.rand(2, 3, 16), torch.rand(5, 7)
    theirs, ours = decoder(Encoded(stream, stream), labels), scorer(stream, labels)
    torch.testing.assert_close(ours.segments, theirs.audio_logits)
    torch.testing.assert_close(ours.video.sigmoid(), theirs.audio_video)


def test_what_does_not_fit_is_said():
    model, batch = small("avel-ave")
    with pytest.raises(ValueError, match=r"visual_2d: shape is \[2, 3, 31\], expected \[clips, steps, 4 \* 8\]"):
        model(audio=batch["audio"], visual_2d=batch["visual_2d"][..., :31])
    with pytest.raises(InvalidInput, match="visual_2d has 32 values a step, which 5 positions do not divide"):
        small("avel-ave", positions=5)
    with pytest.raises(InvalidInput, match="pooling top needs the gates of cmbs; ave has none"):
        small("avel-ave", pooling="top")
    with pytest.raises(InvalidInput, match="pooling: expected one of max, gated_mean, top, event, got 'mean'"):
        small("avel-ave", pooling="mean")
    with pytest.raises(InvalidInput, match="pooling event needs the gates of cmbs-supervised; cmbs has none"):
        small("avel-cmbs", pooling="event")
    with pytest.raises(InvalidInput, match="encoder cmbs-supervised needs pooling event, got max"):
        small("leap-avel-cmbs-supervised", pooling="max")
    with pytest.raises(InvalidInput, match=r"decoder.over = video needs pooling event, got max"):
        small("avel-ave", decoder={"over": "video"})
    for pooling, words in ((TopPooling(), "no gates"), (EventPooling(0.3), "no event scores")):
        with pytest.raises(ValueError, match=words):
            pooling(SCORES, Fused(SCORES))
    assert asdict(LOCALIZERS["leap-avel-psp"].decoder)["feed_forward"] == 256
