import gzip
from pathlib import Path

import numpy as np
import pytest
from gensim import models as gensim_models
from gensim.models import KeyedVectors

from extractors.text import glove as glove_module
from extractors.text.registry import create
from storage.errors import InvalidInput, WeightsError

GENSIM_TESTS = Path(gensim_models.__file__).parents[1] / "test" / "test_data"
TINY = "fire 1 2 3\nalarm 3 2 1\ndog 0 0 9\nUSA 1 1 1\n. . . 5 5 5\n"


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "glove.tiny.txt"
    path.write_text(TINY)
    return path


def embedder(path, **options):
    made = create("glove", {"dim": "3", **options})
    made.load(str(path))
    return made


def test_phrases_are_means_of_their_words(tiny):
    made = embedder(tiny)
    vectors = made.embed(["Fire_alarm", "dog", "a-dog"[2:], "USA"])
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[2, 2, 2], [0, 0, 9], [0, 0, 9], [1, 1, 1]]
    assert made.weights.startswith("sha256:")
    assert made.weights_source == str(tiny)
    assert dict(made.facts) == {"oov": "error", "dim": "3"}
    assert made.logit_scale is None


def test_brackets_and_underscores_part_words(tiny):
    assert embedder(tiny).embed(["fire_(alarm)"]).tolist() == [[2, 2, 2]]


def test_missing_words_are_named(tiny):
    with pytest.raises(InvalidInput, match=r"lacks 'bell' of 'fire bell', 'cat' of 'cat'.*--oov skip-word"):
        embedder(tiny).embed(["fire bell", "cat", "dog"])
    skipping = embedder(tiny, oov="skip-word")
    assert skipping.embed(["fire bell"]).tolist() == [[1, 2, 3]]
    with pytest.raises(InvalidInput, match="no word of 'cat' is in"):
        skipping.embed(["cat"])
    with pytest.raises(InvalidInput, match=r"no word of '\(\)' is in"):
        embedder(tiny).embed(["()"])


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # gensim leaves the file without a header open
@pytest.mark.parametrize("name", ["test_glove.txt", "word2vec_pre_kv_c", "euclidean_vectors.bin"])
def test_files_that_gensim_ships(name):
    """GloVe's text, word2vec's text and word2vec's binary format, against gensim's own reader."""
    path = GENSIM_TESTS / name
    plain, binary = name == "test_glove.txt", name.endswith(".bin")
    expected = KeyedVectors.load_word2vec_format(str(path), binary=binary, no_header=plain)
    words = [word for word in expected.index_to_key if word.isalpha() and word.islower()][:5]
    assert len(words) == 5
    vectors = embedder(path, dim=str(expected.vector_size)).embed([*words, " ".join(words)])
    np.testing.assert_array_equal(vectors[:5], expected[words])
    np.testing.assert_allclose(vectors[5], expected[words].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_gzip_and_a_header(tmp_path):
    path = tmp_path / "v.txt.gz"
    path.write_bytes(gzip.compress(b"2 3\nfire 1 2 3\ndog 4 5 6\n"))
    assert embedder(path).embed(["dog"]).tolist() == [[4, 5, 6]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fire 1 2 3\ndog 4 5\n", "line 2: expected a word and 3 numbers, got 2 numbers"),
        (TINY + "cat 1 2\n", "line 6: expected a word and 3 numbers, got 2 numbers"),
        (TINY + "cat 1 2 3 4\n", "line 6: expected a word and 3 numbers, got 4 numbers"),
        (TINY + "cat 1 x 3\n", "line 6: expected a word and 3 numbers, got 2 numbers"),
        (TINY + "cat 1 nan 3\n", "line 6: expected"),
        ("fire 1 2 3 4\ndog 1 2 3 4\n", r"line 1: vectors have 4 dimensions, expected 3.*--dim 4"),
        ("2 4\nfire 1 2 3 4\ndog 1 2 3 4\n", r"line 1: vectors have 4 dimensions, expected 3"),
        ("3 3\nfire 1 2 3\ndog 1 2 3\n", r"line 3: the file ends after 2 words of 3"),
        ("", "is empty"),
    ],
)
def test_broken_files_are_refused_by_line(tmp_path, text, message):
    path = tmp_path / "broken.txt"
    path.write_text(text)
    with pytest.raises(WeightsError, match=message):
        embedder(path).embed(["fire"])


def test_a_damaged_gzip_is_one_error(tmp_path):
    path = tmp_path / "v.txt.gz"
    path.write_bytes(gzip.compress(TINY.encode() * 500)[:60])
    with pytest.raises(WeightsError, match="cannot be read"):
        embedder(path).embed(["fire"])


def test_a_binary_file_cut_off(tmp_path):
    path = tmp_path / "cut.bin"
    path.write_bytes((GENSIM_TESTS / "euclidean_vectors.bin").read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"cut\.bin: "):
        embedder(path, dim="50").embed(["fire"])


def test_random_vectors_belong_to_words():
    made, other = create("glove"), create("glove")
    made.load("random:0")
    other.load("random:1")
    vectors = made.embed(["Fire alarm", "fire", "alarm"])
    assert vectors.shape == (3, 300)
    np.testing.assert_allclose(vectors[0], vectors[1:].mean(axis=0), rtol=1e-6)
    assert np.abs(vectors - other.embed(["fire alarm", "fire", "alarm"])).max() > 0.1
    assert made.weights == "random:0"


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        embedder(tmp_path / "none.txt")
    with pytest.raises(InvalidInput, match="--dim 'x': expected a positive number"):
        create("glove", {"dim": "x"})


def test_gensim_data_names(tmp_path, monkeypatch, caplog):
    import gensim.downloader

    monkeypatch.setattr(gensim.downloader, "BASE_DIR", str(tmp_path))
    folder = tmp_path / "glove-tiny-3"
    folder.mkdir()
    (folder / "glove-tiny-3.gz").write_bytes(gzip.compress(b"1 3\nfire 1 2 3\n"))
    made = embedder("glove-tiny-3")
    assert made.weights_source == "gensim-data glove-tiny-3"
    assert made.embed(["fire"]).tolist() == [[1, 2, 3]]

    def unreachable(url):
        raise OSError("no network in tests")

    monkeypatch.setattr(gensim.downloader, "urlopen", unreachable)
    with pytest.raises(WeightsError, match=rf"'{glove_module.GENSIM_DATA}' cannot be had from gensim-data"):
        embedder("pretrained")
    assert not caplog.records
