from dataclasses import replace
from itertools import product
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional

from pipeline.models.config import SYSTEMS, MMPyrConfig
from pipeline.models.decoders.class_decoupling import vector_count
from pipeline.models.decoders.class_enhancement import CoOccurrenceAttention, EnhancementLayer, GlobalFusion, PathParts
from pipeline.models.factory import build_model
from pipeline.models.official.loading import load_official, official_layout
from pipeline.recipes.recipe import load_recipe
from storage.errors import InvalidInput

SMALL = replace(SYSTEMS["mmcse"], width=16, class_dim=8, classes=3, layers=2, heads=2, feed_forward=12, segments=4)


def plain_mmcse(state, audio, visual, classes=25, layers=4, heads=8):
    """MM-CSE after the input projection, class by class and segment by segment, by published names; dropout off."""

    def linear(name, x):
        return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    decoupled = {
        "a": torch.stack([linear(f"a_unmix.{k}.1", audio.relu()).relu() for k in range(classes + 1)], 2),
        "v": torch.stack(
            [
                linear(f"v_unmix.{k}.4", linear(f"v_unmix.{k}.1", visual.relu()).relu()).relu()
                for k in range(classes + 1)
            ],
            2,
        ),
    }
    streams = {}
    for m, x in (("a", audio), ("v", visual)):
        share = linear(f"alpha_{m}.model.4", linear(f"alpha_{m}.model.1", x.relu()).relu()).sigmoid()
        background = (1 - share) * decoupled[m][:, :, classes]
        fused = [
            linear(f"reduce_{m}.0", torch.cat([share * decoupled[m][:, :, k], background], -1)).relu()
            for k in range(classes)
        ]
        streams[m] = torch.stack(fused, 2)
    for i in range(layers):
        name = f"av_enhance.layers.{i}"
        (new_a, aa, av), (new_v, vv, va) = (
            plain_layer(state, linear, name, streams[m], streams[n], heads) for m, n in (("a", "v"), ("v", "a"))
        )
        streams = {"a": new_a, "v": new_v}
    logits = {
        m: {
            head: torch.cat([linear(f"{head}.fc.{k}", streams[m][:, :, k]) for k in range(classes)], -1)
            for head in ("fc_prob", "fc_frame_att", "fc_av_att")
        }
        for m in "av"
    }
    return decoupled, logits, (aa, av, vv, va)


def plain_layer(state, linear, name, x, partner, heads):
    clips, segments, classes, dim = x.shape

    def secm(which, query, memory):
        module = nn.MultiheadAttention(dim, heads).eval()
        prefix = f"{name}.{which}.attn."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        found, maps = torch.zeros_like(query), torch.zeros(clips, segments, classes, classes)
        for b in range(clips):
            for t in range(segments):
                q, m = query[b, t][:, None], memory[b, t][:, None]
                out, weights = module(q, m, m)
                found[b, t], maps[b, t] = out[:, 0], weights[0]
        return query + found, maps

    def lgsf(local, source, local_name, global_name):
        a = linear(f"{name}.{local_name}", local).relu()
        mean = linear(f"{name}.{global_name}", source).relu().mean(1, keepdim=True)
        norms = a.norm(dim=-1).clamp(min=1e-8) * mean.norm(dim=-1).clamp(min=1e-8)
        gate = ((a * mean).sum(-1) / norms).sigmoid()
        return gate[..., None] * mean

    z, map_within = secm("SECM_1", x, x)
    within = linear(f"{name}.fc1", x + lgsf(z, z, "LGSF_1.glob1", "LGSF_1.glob2"))
    z, map_across = secm("SECM_2", x, partner)
    across = linear(f"{name}.fc2", x + lgsf(z, partner, "LGSF_2.glob", "LGSF_2.glob"))
    norm = functional.layer_norm(
        within + across, (dim,), state[f"{name}.norm1.weight"], state[f"{name}.norm1.bias"], 1e-5
    )
    return linear(f"{name}.linear2", linear(f"{name}.linear1", norm).relu()), map_within, map_across


@pytest.mark.parametrize("system", ["mmcse", "mmcse-clap-clip"])
def test_equals_the_words_of_the_reference(system, random_state, random_inputs):
    config = SYSTEMS[system]
    state = random_state(official_layout(config).shapes)
    model = load_official(system, state)
    batch = random_inputs(config)
    with torch.no_grad():
        audio, visual = model.input_projection(batch["audio"], batch["visual_2d"], batch["visual_3d"])
        decoupled, logits, maps = plain_mmcse(state, audio, visual)
        out = model(**batch)
    for m, ours in (("a", out.auxiliary.decoupled.audio), ("v", out.auxiliary.decoupled.visual)):
        torch.testing.assert_close(ours, decoupled[m], atol=1e-4, rtol=0)
    for ours, plain in zip(out.auxiliary.co_occurrence, maps, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=0)
    prob, time, modality = (
        torch.stack([logits[m][head] for m in "av"], 2) for head in ("fc_prob", "fc_frame_att", "fc_av_att")
    )
    weighted = prob.sigmoid() * time.softmax(1)
    for ours, plain in (
        (out.audio_segment, prob[:, :, 0].sigmoid()),
        (out.visual_segment, prob[:, :, 1].sigmoid()),
        (out.audio_video, weighted[:, :, 0].sum(1)),
        (out.visual_video, weighted[:, :, 1].sum(1)),
        (out.union_video, (weighted * modality.softmax(2)).sum((1, 2))),
    ):
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=0)
    assert out.audio_segment.std() > 1e-4


def test_reconstruction(random_state, random_inputs):
    config = SYSTEMS["mmcse"]
    state = random_state(official_layout(config).shapes)
    model = load_official("mmcse", state)
    auxiliary = model(**random_inputs(config)).auxiliary
    for letter, names in (("audio", ("a_recon.0", "a_recon.2")), ("visual", ("v_recon.model.1", "v_recon.model.3"))):
        hidden = getattr(auxiliary.decoupled, letter).flatten(2).relu()
        for name in names:
            hidden = functional.linear(hidden, state[f"{name}.weight"], state[f"{name}.bias"]).relu()
        torch.testing.assert_close(getattr(auxiliary.reconstructed, letter), hidden, atol=1e-5, rtol=0)
    assert auxiliary.reconstructed.audio.shape == auxiliary.inputs.audio.shape


def test_without_reconstruction():
    model = build_model(replace(SMALL, reconstruct=False))
    batch = {"audio": torch.rand(2, 4, 128), "visual_2d": torch.rand(2, 4, 2048), "visual_3d": torch.rand(2, 4, 512)}
    assert model(**batch).auxiliary.reconstructed is None
    assert not [name for name in model.state_dict() if "reconstructor" in name]


@pytest.mark.parametrize("secm", ["published", "paper"])
@pytest.mark.parametrize("lgsf", ["published", "paper"])
def test_no_weight_is_dead(secm, lgsf, random_inputs):
    config = replace(SMALL, secm=secm, lgsf=lgsf)
    model = build_model(config)
    out = model(**random_inputs(config))
    assert out.audio_segment.shape == (2, 4, 3)
    parts = [out.audio_segment, out.union_video, *out.auxiliary.reconstructed]
    sum(part.square().sum() for part in parts).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_blocks_as_in_the_paper():
    x, y = torch.randn(2, 4, 3, 8), torch.randn(2, 4, 3, 8)
    found, weights = CoOccurrenceAttention(8, heads=2, variant="paper")(x, y)
    expected = (x @ y.transpose(-1, -2) / 8**0.5).softmax(-1)
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(found, x + expected @ y)
    mean = y.mean(1, keepdim=True)
    cosine = (x * mean).sum(-1) / (x.norm(dim=-1) * mean.norm(dim=-1))
    torch.testing.assert_close(GlobalFusion(8, shared=False, variant="paper")(x, y), cosine[..., None] * mean)
    layer = EnhancementLayer(8, heads=2, feed_forward=8, dropout=0.0, lgsf="paper").eval()
    assert layer.global_from_input


PARTS = get_args(PathParts)


@pytest.mark.parametrize(("intra", "cross"), [pair for pair in product(PARTS, PARTS) if pair != ("none", "none")])
def test_paths_of_an_ablation_by_hand(intra, cross):
    """A layer with fewer parts is the whole layer's modules, put together as the docstring says."""
    torch.manual_seed(0)
    whole = EnhancementLayer(8, heads=2, feed_forward=12, dropout=0.0).eval()
    layer = EnhancementLayer(8, heads=2, feed_forward=12, dropout=0.0, intra=intra, cross=cross).eval()
    kept = layer.state_dict()
    layer.load_state_dict({name: value for name, value in whole.state_dict().items() if name in kept})
    x, y = torch.randn(2, 4, 3, 8), torch.randn(2, 4, 3, 8)

    def path(parts, secm, lgsf, linear, source, partner):
        if parts == "none":
            return 0, None
        local, weights = secm(x, partner) if "secm" in parts else (x, None)
        source = local if source is None else source
        return linear(x + lgsf(local, source) if "lgsf" in parts else local), weights

    within, aa = path(intra, whole.within_classes, whole.within_global, whole.within, None, x)
    across, av = path(cross, whole.across_classes, whole.across_global, whole.across, y, y)
    found = layer(x, y)
    torch.testing.assert_close(found.classes, whole.feed_forward(whole.norm(within + across)))
    for ours, expected in ((found.within, aa), (found.across, av)):
        assert (ours is None) == (expected is None)
        assert ours is None or torch.equal(ours, expected)
    dead = [part for part in ("secm", "lgsf") if part not in intra and part not in cross]
    assert not [
        name for name in kept if ("_classes" in name and "secm" in dead) or ("_global" in name and "lgsf" in dead)
    ]


ABLATIONS = [
    {"decoupling": "classes"},
    {"decoupling": "none", "reconstruct": False},
    {"intra": "lgsf", "cross": "lgsf"},
    {"intra": "secm", "cross": "secm"},
    {"intra": "secm"},
    {"cross": "secm"},
    {"intra": "none"},
    {"cross": "none"},
]


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
def test_ablations_have_no_dead_weight(changes, random_inputs):
    config = replace(SMALL, **changes)
    model = build_model(config)
    out = model(**random_inputs(config))
    assert out.audio_segment.shape == out.visual_segment.shape == (2, 4, 3)
    parts = [out.audio_segment, out.union_video, *(out.auxiliary.reconstructed or ())]
    sum(part.square().sum() for part in parts).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert out.auxiliary.background == (config.decoupling == "classes_and_background")
    with_map = [
        part != "none" and "secm" in part and config.decoupling != "none" for part in (config.intra, config.cross)
    ]
    assert [found is not None for found in out.auxiliary.co_occurrence] == with_map * 2


def test_without_background_fgse_reads_the_class_vectors(random_inputs):
    config = replace(SMALL, decoupling="classes")
    model = build_model(config).eval()
    read = []
    model.layers[0].register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    auxiliary = model(**random_inputs(config)).auxiliary
    assert auxiliary.decoupled.audio.shape == (2, 4, 3, 8)
    assert torch.equal(read[0], auxiliary.decoupled.joined())
    assert not [name for name in model.state_dict() if "background" in name]
    assert model.audio_reconstructor[0].in_features == 3 * 8


def test_without_decoupling_one_vector_gives_the_numbers_of_copies(random_inputs):
    torch.manual_seed(0)
    config = replace(SMALL, decoupling="none", reconstruct=False)
    one = build_model(config).eval()
    copies = build_model(replace(SMALL, decoupling="classes", reconstruct=False)).eval()
    state = one.state_dict()
    for name in ("audio_decoupler.first.weight", "visual_decoupler.first.weight"):
        state[name] = state[name].repeat(3, 1)
    for name in ("audio_decoupler.first.bias", "visual_decoupler.first.bias"):
        state[name] = state[name].repeat(3)
    state["visual_decoupler.second_weight"] = state["visual_decoupler.second_weight"].repeat(3, 1, 1)
    state["visual_decoupler.second_bias"] = state["visual_decoupler.second_bias"].repeat(3, 1)
    copies.load_state_dict(state)
    batch = random_inputs(config)
    ours, theirs = one(**batch), copies(**batch)
    for name in ("audio_segment", "visual_segment", "union_video"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-6, rtol=0)
    assert ours.audio_segment.std(dim=-1).min() > 0  # the heads tell classes apart


def test_an_encoder_stands_before_the_decouplers(random_inputs):
    config = replace(SMALL, encoder=MMPyrConfig(levels=2, heads=2, feed_forward=12))
    model = build_model(config).eval()
    batch = random_inputs(config)
    with torch.no_grad():
        streams = model.encoder(model.input_projection(batch["audio"], batch["visual_2d"], batch["visual_3d"]))
        out = model(**batch)
    assert torch.equal(out.auxiliary.inputs.audio, streams.audio)
    torch.testing.assert_close(out.auxiliary.decoupled.visual, model.visual_decoupler(streams.visual))
    assert not [name for name in build_model(SMALL).state_dict() if name.startswith("encoder")]


def test_the_recipe_on_mm_pyramid_is_both_whole():
    model = build_model(load_recipe("mmcse-mmpyr").model)
    mmpyr = build_model(SYSTEMS["mmpyr"])
    assert list(model.encoder.state_dict()) == list(mmpyr.encoder.state_dict())
    assert [part.shape for part in model.encoder.parameters()] == [part.shape for part in mmpyr.encoder.parameters()]
    assert model.audio_decoupler.first.in_features == 512
    assert len(model.layers) == 4


def test_maps_carry_the_attention_dropout_in_training():
    torch.manual_seed(0)
    module = CoOccurrenceAttention(8, heads=2, dropout=0.5)
    x = torch.randn(2, 4, 3, 8)
    assert (module.train()(x, x)[1].sum(-1) - 1).abs().max() > 0.1
    torch.testing.assert_close(module.eval()(x, x)[1].sum(-1), torch.ones(2, 4, 3))


def test_malformed():
    with pytest.raises(ValueError, match="secm 'bare': expected one of published, paper"):
        EnhancementLayer(8, heads=2, feed_forward=8, dropout=0.1, secm="bare")
    with pytest.raises(ValueError, match="cross 'lgfs': expected one of secm_and_lgsf, secm, lgsf, none"):
        EnhancementLayer(8, heads=2, feed_forward=8, dropout=0.1, cross="lgfs")
    with pytest.raises(InvalidInput, match=r"model: intra and cross are both none, which leaves no path\. Keep one"):
        build_model(replace(SMALL, intra="none", cross="none"))
    with pytest.raises(InvalidInput, match=r"model: reconstruct: decoupling none leaves no class vectors.*to false"):
        build_model(replace(SMALL, decoupling="none"))
    with pytest.raises(ValueError, match="decoupling 'all': expected one of classes_and_background, classes, none"):
        vector_count("all", classes=3)
