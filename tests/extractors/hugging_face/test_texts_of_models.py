"""Text towers of transformers models: equal to the official ones, in one space with the same model's features."""

import math

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from extractors import registry
from extractors.base import Frames
from extractors.text.hugging_face import canonical
from extractors.text.registry import create
from storage.errors import InvalidInput, WeightsError

WORDS = ["<s>", "<pad>", "<unk>", "</s>", "a", "dog", "barks", "loudly", "sound", "of", "the", "Dog", ".", "barks."]
TEXTS = ["a Dog barks.", "the sound of a dog", "a"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 40}


def write_tokenizer(folder, *, kind="PreTrainedTokenizerFast"):
    """A tokenizer of whole words, as its configuration would name a model's."""
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 3)])
    whole = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    whole.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text().replace("PreTrainedTokenizerFast", kind).replace("TokenizersBackend", kind))
    return whole


@pytest.fixture(params=["clip", "siglip", "clap"])
def written(request, new_model, tmp_path):
    """The type of a model, its folder, the model and its tokenizer."""
    length = {"clip": 77, "siglip": 64, "clap": 79}[request.param]
    text = {**SIZES, "max_position_embeddings": length, "eos_token_id": 3, "pad_token_id": 1, "bos_token_id": 0}
    official = new_model(tmp_path, request.param, text_config=text)
    kind = "SiglipTokenizer" if request.param == "siglip" else "PreTrainedTokenizerFast"
    return request.param, tmp_path, official, write_tokenizer(tmp_path, kind=kind)


def test_vectors_equal_the_official_forward(written):
    model_type, folder, official, tokenizer = written
    made = create(f"hf:{folder}")
    made.load("pretrained")
    if model_type == "siglip":
        texts = ["a dog barks", "the sound of a dog", "a"]
        inputs = {"input_ids": tokenizer(texts, padding="max_length", max_length=64, return_tensors="pt")["input_ids"]}
    else:
        inputs = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
        inputs.pop("token_type_ids", None)
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(official.get_text_features(**inputs).pooler_output, dim=-1).numpy()
    vectors = made.embed(TEXTS)
    assert np.abs(vectors - expected).max() < 1e-5
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    name = "logit_scale_a" if model_type == "clap" else "logit_scale"
    assert made.logit_scale == pytest.approx(math.exp(getattr(official, name).detach()))
    assert made.prompts_of == ("clap" if model_type == "clap" else "clip")


@pytest.mark.parametrize("model_type", ["clip", "siglip"])
def test_pictures_and_texts_share_a_space(model_type, new_model, tmp_path):
    length = {"clip": 77, "siglip": 64}[model_type]
    text = {**SIZES, "max_position_embeddings": length, "eos_token_id": 3, "pad_token_id": 1, "bos_token_id": 0}
    official = new_model(tmp_path, model_type, text_config=text)
    tokenizer = write_tokenizer(
        tmp_path, kind="SiglipTokenizer" if model_type == "siglip" else "PreTrainedTokenizerFast"
    )
    embedder, backbone = create(f"hf:{tmp_path}"), registry.load(f"hf:{tmp_path}", engine="torch", clip_seconds=2)
    embedder.load("pretrained")
    pixels = np.random.RandomState(0).randint(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    (row,) = backbone.extract([Frames(pixels, np.ones(2, dtype=bool), 1)])
    texts = ["a dog", "the sound of a dog"]
    ours = embedder.logit_scale * row[backbone.array_name].values @ embedder.embed(texts).T + (embedder.logit_bias or 0)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in backbone.normalisation)
    given = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    padded = {"padding": "max_length", "max_length": 64} if model_type == "siglip" else {"padding": True}
    tokens = tokenizer(texts, return_tensors="pt", **padded)
    mask = {} if model_type == "siglip" else {"attention_mask": tokens["attention_mask"]}
    with torch.inference_mode():
        expected = official(input_ids=tokens["input_ids"], pixel_values=given, **mask).logits_per_image.numpy()
    assert np.abs(ours - expected).max() < 1e-4
    assert (embedder.logit_bias is None) == (model_type == "clip")
    assert ("logit_bias" in embedder.facts) == (model_type == "siglip")


def test_siglip_writes_texts_as_it_was_trained(new_model, tmp_path):
    assert canonical("A  photo of a Dog, barking.") == "a photo of a dog barking"
    new_model(tmp_path, "siglip", text_config={**SIZES, "max_position_embeddings": 64})
    for kind, same in (("SiglipTokenizer", True), ("GemmaTokenizer", False)):
        write_tokenizer(tmp_path, kind=kind)
        made = create(f"hf:{tmp_path}", {"tokenizer": str(tmp_path)})
        try:
            made.load("pretrained")
        except WeightsError:  # this transformers takes Gemma's own class, which wants another vocabulary
            assert kind == "GemmaTokenizer"
            continue
        first, second, third = made.embed(["a Dog barks.", "A dog barks", "a dog barks."])
        assert np.allclose(first, second, atol=1e-6) == same
        assert np.allclose(first, third, atol=1e-6)


def test_random_weights_need_the_tokenizer_only(written):
    _, folder, _, _ = written
    (folder / "model.safetensors").unlink()
    made = create(f"hf:{folder}")
    made.load("random:1")
    assert made.embed(TEXTS).shape[0] == 3
    assert made.logit_scale == pytest.approx(1 / 0.07)
    assert made.logit_bias is None
    with pytest.raises(InvalidInput, match="there is nothing to embed in ' '"):
        made.embed(["a", " "])


def test_what_is_missing_is_named(written, models):
    model_type, folder, _, _ = written
    for file in folder.glob("tokenizer*"):
        file.unlink()
    made = create(f"hf:{folder}")
    with pytest.raises(WeightsError, match=r"--tokenizer FOLDER"):
        made.load("pretrained")
    with pytest.raises(InvalidInput, match=r"dinov2 has no text tower that is offered\. Offered: models of type clip"):
        create(f"hf:{models('dinov2')[0]}")
    with pytest.raises(InvalidInput, match="unknown embedder 'hf'"):
        create("hf")
    assert model_type in create(f"hf:{folder}").facts.values()
