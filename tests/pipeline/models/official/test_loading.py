import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.models.config import PARSERS, SYSTEMS, LEAPConfig
from pipeline.models.official.loading import load_official, official_layout
from storage.errors import InvalidInput, WeightsError

JSONS = [
    ("han", "han"),
    ("mmpyr", "mmpyr"),
    ("valor", "valor"),
    ("valor-plus", "valor_plus"),
    ("valor-plus", "valor_plus_prenorm"),
    ("valor-plusplus", "valor_plusplus"),
    ("leap-mmpyr", "leap_N1"),
    ("leap-mmpyr", "leap"),
    ("leap-mmpyr", "leap_N4"),
    ("mmcse", "mmcse_vggish_res152_test"),
    ("mmcse", "mmcse_vggish_res152_train"),
    ("mmcse-clap-clip", "mmcse_clap_clip_test"),
    ("mmcse-clap-clip", "mmcse_clap_clip_train"),
]
LABELS = {"leap_N1": 1, "leap": 2, "leap_N4": 4}


def load(system, name, state):
    return load_official(system, state, norm="pre" if name.endswith("prenorm") else "post")


@pytest.mark.parametrize(("system", "name"), JSONS)
def test_every_published_name_is_used_or_dead(system, name, published, rule, random_inputs):
    """Dead tensors filled with NaN change nothing; every one of ours comes from a used one and has a gradient."""
    shapes = published(name)["state_shapes"]
    state = {key: torch.from_numpy(value) for key, value in rule.rule_state(shapes, seed=2).items()}
    model = load(system, name, state)
    assert not model.training
    config = SYSTEMS[system]
    batch = random_inputs(config)
    out = model(**batch)
    dead = set(shapes) - used_names(system, name, state)
    poisoned = {key: torch.full_like(value, torch.nan) if key in dead else value for key, value in state.items()}
    again = load(system, name, poisoned)(**batch)
    for field in ("audio_segment", "visual_segment", "audio_video", "visual_video", "union_video"):
        assert torch.equal(getattr(again, field), getattr(out, field))
    parts = [out.audio_segment, out.visual_segment, out.audio_video, out.visual_video, out.union_video]
    reconstructed = out.auxiliary and out.auxiliary.reconstructed
    sum(part.sum() for part in [*parts, *(reconstructed or ())]).backward()
    assert not [key for key, parameter in model.named_parameters() if parameter.grad is None]
    assert len(dead) == EXPECTED_DEAD[name]


EXPECTED_DEAD = {
    "han": 3 * 12 + 4 + 4,  # three encoders of one layer, final norms of cmt_encoder and of hat_encoder
    "valor": 4,
    "valor_plus": 4,
    "valor_plus_prenorm": 0,
    "valor_plusplus": 4,
    # templates 2 x 14, a norm in each of 14 attentions, second names of 16 convolutions
    "mmpyr": 2 * 14 + 14 * 2 + 16 * 2,
    "leap_N1": 88 + 14 + 2 * 2,
    "leap": 88 + 14 + 4 * 2,
    "leap_N4": 88 + 14 + 8 * 2,
    "mmcse_vggish_res152_test": 4,
    "mmcse_vggish_res152_train": 4,
    "mmcse_clap_clip_test": 4,
    "mmcse_clap_clip_train": 4,
}


def used_names(system, name, state):
    config = SYSTEMS[system]
    if name in LABELS:
        config = replace(config, decoder=LEAPConfig(blocks=LABELS[name]))
    if name.startswith("mmcse"):
        config = replace(config, reconstruct=name.endswith("train"))
    if name.endswith("prenorm"):
        config = replace(config, encoder=replace(config.encoder, norm="pre"))
    layout = official_layout(config)
    assert layout.shapes == {key: tuple(value.shape) for key, value in state.items()}
    return layout.used


@pytest.mark.parametrize("system", PARSERS)
def test_missing_extra_or_misshaped_is_one_line(system):
    shapes = official_layout(SYSTEMS[system]).shapes
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    for name in list(shapes)[::11]:
        for changed, message in (
            ({key: value for key, value in state.items() if key != name}, rf"1 missing: {name} "),
            (state | {name: torch.zeros(*shapes[name], 2)}, rf"1 of another shape: {name} .*, 2\] \(expected "),
            (state | {f"{name}_extra": torch.zeros(2)}, rf"1 unexpected: {name}_extra \[2\]"),
        ):
            with pytest.raises(WeightsError, match=f"^published {system} checkpoint: .*{message}") as caught:
                load_official(system, changed)
            assert "\n" not in str(caught.value)


def test_every_name_of_han_must_be_there():
    shapes = official_layout(SYSTEMS["han"]).shapes
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    for name in shapes:
        with pytest.raises(WeightsError, match=f"1 missing: {name} "):
            load_official("han", {key: value for key, value in state.items() if key != name})


def test_many_problems_are_counted():
    with pytest.raises(WeightsError, match=r"expected 74 tensors, got 1; 74 missing: .* and 71 more; 1 unexpected: x"):
        load_official("han", {"x": torch.zeros(1)})
    with pytest.raises(WeightsError, match="expected tensors by name"):
        load_official("han", {"epoch": "seven"})
    with pytest.raises(InvalidInput, match=r"'lepa-mmpyr' is unknown. Did you mean leap-mmpyr"):
        load_official("lepa-mmpyr", {})


def test_names_below_module_and_arrays_are_taken(random_state, random_inputs):
    state = random_state(official_layout(SYSTEMS["valor"]).shapes)
    wrapped = {f"module.{name}": value.double().numpy() for name, value in state.items()}
    batch = random_inputs(SYSTEMS["valor"])
    ours, theirs = load_official("valor", state), load_official("valor", wrapped)
    torch.testing.assert_close(ours(**batch).union_video, theirs(**batch).union_video)
    assert {parameter.dtype for parameter in theirs.parameters()} == {torch.float32}


def test_the_convolutions_second_names_override_the_first(random_state, random_inputs):
    shapes = official_layout(SYSTEMS["mmpyr"]).shapes
    state = random_state(shapes)
    name = "MMP.capture.anetwork.1"
    model = load_official("mmpyr", state)
    kernel = model.encoder.levels[1].temporal.neighbours.weight[0].T.unflatten(1, (3, 512)).transpose(1, 2)
    torch.testing.assert_close(kernel, state[f"{name}.net.0.weight"])
    assert not torch.equal(kernel, state[f"{name}.conv1.weight"])


def test_bert_labels_are_found(random_state):
    config = SYSTEMS["leap-han"]
    shapes = official_layout(config).shapes | {"fc_l.weight": (512, 768)}
    model = load_official("leap-han", random_state(shapes))
    assert model.decoder.labels.projection.in_features == 768
    with pytest.raises(WeightsError, match=r"fc_l.weight \[512, 301\] \(expected \[512, 300\]\)"):
        load_official("leap-han", random_state(shapes | {"fc_l.weight": (512, 301)}))


@pytest.fixture(scope="module")
def han_oracle(reference):
    with np.load(reference / "oracles/models/han.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def test_han_equals_the_published_outputs(han_oracle, published, rule):
    shapes = published("han")["state_shapes"]
    model = load_official("han", rule.rule_state(shapes, seed=0))
    inputs = {name: torch.from_numpy(value) for name, value in rule.make_inputs(2, seed=0).items()}
    out = model(audio=inputs["audio_vggish"], visual_2d=inputs["visual_res152"], visual_3d=inputs["visual_r2p1d"])
    close(out.union_video, han_oracle["global_prob"], 1e-5)
    close(out.audio_video, han_oracle["a_prob"], 1e-5)
    close(out.visual_video, han_oracle["v_prob"], 1e-5)
    close(torch.stack([out.audio_segment, out.visual_segment], 2), han_oracle["frame_prob"], 1e-5)
    close(out.features.audio, han_oracle["hook:hat_encoder.0"], 1e-4)
    close(out.features.visual, han_oracle["hook:hat_encoder.1"], 1e-4)
    close(torch.stack([out.audio_logits, out.visual_logits], 2), han_oracle["hook:fc_prob"], 1e-4)


def test_leap_decoder_equals_the_published_outputs(reference, rule):
    oracle = np.load(reference / "oracles/models/leap_decoder.npz")
    facts = json.loads((reference / "oracles/models/leap_decoder.json").read_text())
    alone = rule.rule_state(facts["state_shapes"], seed=0)
    assert rule.state_sha(alone) == facts["state_sha256"]
    shapes = official_layout(SYSTEMS["leap-han"]).shapes
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    decoder = load_official("leap-han", state | {f"AVL.{name}": value for name, value in alone.items()}).decoder
    inputs = [torch.from_numpy(rule.rule_uniform(f"input/avl_{letter}", (2, 10, 512), 0)).float() for letter in "av"]
    labels = torch.from_numpy(rule.rule_uniform("input/avl_l", (2, 25, 512), 0)).float().expand(2, -1, -1, -1)
    for number, block in enumerate(decoder.blocks):
        labels, scores = block(labels, torch.stack(inputs))
        for stream, letter in enumerate("av"):
            published_scores = torch.from_numpy(oracle[f"A_l{letter}.{number}"])
            close(labels[stream], torch.from_numpy(oracle[f"F_l{letter}.{number}"]), 1e-4)
            close(scores[stream], published_scores, 1e-4)
            close(scores[stream].mean(1).sigmoid(), published_scores.mean(1).sigmoid(), 1e-5)


def close(ours, published, tolerance):
    torch.testing.assert_close(ours, published, atol=tolerance, rtol=0)
