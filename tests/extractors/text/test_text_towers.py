"""CLIP's and CLAP's text towers with random weights, against open_clip's and laion-clap's own code."""

import copy
import importlib
import math
import types
import warnings

import numpy as np
import open_clip
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer

from extractors.audio.clap import import_clap_module
from extractors.text.clap import build_text_tower
from extractors.text.registry import create
from extractors.weights.loading import fill_random
from storage.errors import InvalidInput, WeightsError

TEXTS = ["A photo of a dog.", "A photo of people cheering.", "dog"]


def loaded(name, weights="random:0", **options):
    made = create(name, options)
    made.load(str(weights))
    return made


@pytest.fixture(scope="module")
def clip_model():
    """A whole small CLIP with seeded weights, without OpenAI's quick GELU in its name."""
    model = open_clip.create_model("RN50", force_quick_gelu=True).eval()
    fill_random(model, 3)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(50.0))
    return model


@pytest.fixture(scope="module")
def clip_file(clip_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "RN50.pt"
    torch.save(clip_model.state_dict(), path)
    return path


def test_clip_equals_open_clip(clip_model, clip_file):
    made = loaded("clip:RN50/openai", clip_file)
    with torch.inference_mode():
        expected = clip_model.encode_text(open_clip.get_tokenizer("RN50")(TEXTS), normalize=True).numpy()
    vectors = made.embed(TEXTS)
    assert vectors.shape == (3, 1024)
    assert np.abs(vectors - expected).max() < 1e-6
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    assert made.logit_scale == pytest.approx(50)
    assert made.weights.startswith("sha256:")
    assert dict(made.facts) == {"model": "RN50/openai"}


def test_clip_takes_files_that_say_text(clip_model, tmp_path):
    """Models that open_clip calls custom put ``text.`` in front."""
    shared = ("visual.", "logit_scale")
    state = {name if name.startswith(shared) else f"text.{name}": v for name, v in clip_model.state_dict().items()}
    torch.save(state, tmp_path / "custom.pt")
    with torch.inference_mode():
        expected = clip_model.encode_text(open_clip.get_tokenizer("RN50")(TEXTS), normalize=True).numpy()
    assert np.abs(loaded("clip:RN50/openai", tmp_path / "custom.pt").embed(TEXTS) - expected).max() < 1e-6


def test_clip_files_that_do_not_fit(clip_model, tmp_path):
    state = clip_model.state_dict()
    torch.save({name: value for name, value in state.items() if name != "logit_scale"}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"a\.pt: holds no logit_scale"):
        loaded("clip:RN50/openai", tmp_path / "a.pt")
    torch.save({"logit_scale": state["logit_scale"], "strange": state["ln_final.bias"]}, tmp_path / "b.pt")
    with pytest.raises(WeightsError, match=r"missing: positional_embedding.*1 unexpected: strange"):
        loaded("clip:RN50/openai", tmp_path / "b.pt")
    with pytest.raises(InvalidInput, match="there is nothing to embed in ' '"):
        create("clip").embed(["dog", " "])


def test_clip_default_matches_the_image_tower():
    """ViT-L/14 with random weights: 768 dimensions, unit length, and the same file as ``clip_vit_l14``."""
    made = loaded("clip")
    vectors = made.embed(TEXTS[:2])
    assert vectors.shape == (2, 768)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert made.logit_scale == pytest.approx(1 / 0.07)
    assert (made.weights, made.array_name) == ("random:0", "clip")
    assert dict(made.facts) == {"model": "ViT-L-14/openai"}


def test_a_tower_of_another_library_that_cannot_be_had_says_which():
    with pytest.raises(WeightsError, match="'xlm-roberta-base' cannot be had from the Hugging Face hub"):
        loaded("clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k")


@pytest.fixture(scope="module")
def roberta_tokenizer(tmp_path_factory):
    """A small tokenizer of RoBERTa's kind; its special tokens have RoBERTa's numbers."""
    folder = tmp_path_factory.mktemp("roberta")
    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(TEXTS * 5, vocab_size=300, special_tokens=special)
    tokenizer.save_model(str(folder))
    return folder


@pytest.fixture(scope="module")
def clap_state():
    """The text tower under the official file's names, beside what a text tower leaves out."""
    tower = build_text_tower()
    fill_random(tower, 5)
    state = {f"module.{name}": value for name, value in tower.state_dict().items()}
    extra = ("logit_scale_a", "audio_branch.bn0.weight", "text_transform.sequential.0.weight")
    state |= {f"module.{name}": torch.tensor(2.5) for name in extra}
    return state | {"module.text_branch.embeddings.position_ids": torch.arange(514)[None]}


def test_clap_equals_laion_clap(clap_state, roberta_tokenizer, tmp_path):
    path = tmp_path / "630k-fusion-best.pt"
    torch.save({"epoch": np.float64(3), "state_dict": clap_state}, path)
    made = loaded("clap", path, tokenizer=str(roberta_tokenizer))
    vectors = made.embed(TEXTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(f"{import_clap_module().__name__}.model")
    network = made._network
    stand_in = types.SimpleNamespace(
        text_branch_type="roberta", text_branch=network["text_branch"], text_projection=network["text_projection"]
    )
    tokens = made._tokenizer(TEXTS, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(module.CLAP.encode_text(stand_in, tokens, device="cpu"), dim=-1)
    assert tokens["input_ids"].shape == (3, 77)
    assert np.abs(vectors - expected.numpy()).max() < 1e-6
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4
    assert vectors.shape == (3, 512)
    assert made.logit_scale == pytest.approx(math.exp(2.5))
    np.testing.assert_array_equal(
        network["text_branch"].embeddings.word_embeddings.weight,
        clap_state["module.text_branch.embeddings.word_embeddings.weight"],
    )


def test_clap_without_its_tokenizer(tmp_path):
    with pytest.raises(WeightsError, match=r"'roberta-base' cannot be had.*--tokenizer FOLDER"):
        loaded("clap")
    with pytest.raises(WeightsError, match=r"holds no vocabulary|holds no tokenizer"):
        loaded("clap", tokenizer=str(tmp_path))
    (tmp_path / "vocab.json").write_text("{")
    with pytest.raises(WeightsError, match="holds no tokenizer that transformers can read"):
        loaded("clap", tokenizer=str(tmp_path))


SMALL_SIGLIP = {
    "embed_dim": 16, "init_logit_bias": -10.0,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {
        "context_length": 8, "vocab_size": 300, "width": 16, "heads": 2, "layers": 1, "no_causal_mask": True,
        "proj_bias": True, "pool_type": "last", "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
        "tokenizer_kwargs": {"clean": "canonicalize"},
    },
}  # fmt: skip
"""As open_clip describes ViT-B-16-SigLIP, but small."""


@pytest.fixture
def small_siglip(monkeypatch, tmp_path):
    """The network under ViT-B-16-SigLIP's name, its file, and a folder with a tokenizer."""
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: copy.deepcopy(SMALL_SIGLIP))
    model = open_clip.CustomTextCLIP(**copy.deepcopy(SMALL_SIGLIP)).eval()
    fill_random(model, 5)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(100.0))
        model.logit_bias.fill_(-12.5)
    torch.save(model.state_dict(), tmp_path / "siglip.pt")
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(TEXTS, vocab_size=280, special_tokens=["<pad>", "</s>", "<unk>"])
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, pad_token="<pad>", eos_token="</s>")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    return model, tmp_path / "siglip.pt", tmp_path / "tokenizer"


def test_a_tokenizer_from_the_hub_is_open_clips_own(small_siglip):
    model, file, folder = small_siglip
    made = loaded("clip:ViT-B-16-SigLIP/webli", file, tokenizer=str(folder))
    tokens = open_clip.tokenizer.HFTokenizer(str(folder), context_length=8, clean="canonicalize")(TEXTS)
    assert tokens.shape == (3, 8)
    with torch.inference_mode():
        expected = model.encode_text(tokens, normalize=True).numpy()
    assert np.abs(made.embed(TEXTS) - expected).max() < 1e-6
    assert made.logit_scale == pytest.approx(100)
    assert made.logit_bias == pytest.approx(-12.5)
    assert made.facts["logit_bias"] == pytest.approx(-12.5)


def test_a_tokenizer_that_cannot_be_had_says_which(small_siglip):
    with pytest.raises(WeightsError, match=r"timm/ViT-B-16-SigLIP.*--tokenizer FOLDER"):
        loaded("clip:ViT-B-16-SigLIP/webli")


def test_a_tower_of_another_library_is_open_clips_own(small_siglip, monkeypatch, tmp_path):
    from transformers import RobertaConfig

    _, _, folder = small_siglip
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    RobertaConfig(**sizes, vocab_size=300, max_position_embeddings=40, pad_token_id=1).save_pretrained(folder)
    text = {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_model_pretrained": False,
            "hf_pooler_type": "mean_pooler", "hf_proj_type": "mlp", "context_length": 8}  # fmt: skip
    described = {"embed_dim": 16, "vision_cfg": SMALL_SIGLIP["vision_cfg"], "text_cfg": text}
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: copy.deepcopy(described))
    model = open_clip.CustomTextCLIP(**copy.deepcopy(described)).eval()
    fill_random(model, 6)
    torch.save(model.state_dict(), tmp_path / "roberta.pt")
    made = loaded("clip:roberta-ViT-B-32/laion2b_s12b_b32k", tmp_path / "roberta.pt")
    tokens = open_clip.tokenizer.HFTokenizer(str(folder), context_length=8)(TEXTS)
    with torch.inference_mode():
        expected = model.encode_text(tokens, normalize=True).numpy()
    assert np.abs(made.embed(TEXTS) - expected).max() < 1e-6
    assert made.logit_bias is None


def test_a_tokenizer_of_open_clips_takes_no_folder():
    made = create("clip:RN50/openai", {"tokenizer": "somewhere"})
    with pytest.raises(InvalidInput, match="RN50 has open_clip's tokenizer; leave --tokenizer out"):
        made.load("random:0")


def test_clap_checkpoints_share_the_text_tower():
    made = create("clap:630k-audioset-best")
    assert made.array_name == "clap_630k-audioset-best"
    assert made.weights_files[0].name == "630k-audioset-best.pt"
    assert made.facts == create("clap").facts
    with pytest.raises(InvalidInput, match="no variant '630k'"):
        create("clap:630k")
