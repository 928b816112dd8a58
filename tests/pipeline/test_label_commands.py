"""``avvp labels`` from the command line: one line for each result and each mistake."""

import numpy as np
import pytest

from storage.clips import Clip, ClipTable
from storage.labels import LabelStore
from storage.store import FeatureStore


@pytest.fixture
def store(tmp_path):
    FeatureStore.create(tmp_path / "s.zarr", ClipTable([Clip("a", "/m/a.mp4")]))
    return tmp_path / "s.zarr"


def test_glove_from_a_file(avvp, store, tmp_path):
    words = (
        "fry food basketball bounce fire alarm chicken rooster violin fiddle vacuum cleaner baby laughter lawn mower"
    )
    words += " acoustic guitar telephone bell ringing cry infancy speech car cheering dog cat chainsaw cello banjo"
    words += " singing accordion motorcycle helicopter blender clapping"
    lines = [f"{word} {number} 1 0" for number, word in enumerate(words.split())]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
    arguments = ("labels", "--store", store, "--embedder", "glove", "--weights", tmp_path / "glove.txt", "--dim", 3)
    code, out, err = avvp(*arguments)
    assert (code, err) == (0, "")
    assert "labels/glove: 25 classes of llp, 3 numbers each, prompts: leap" in out
    assert LabelStore.open(store).read_embeddings("glove").vectors[5].tolist() == [0.5, 1, 0]
    assert "nothing to do, the same is there" in avvp(*arguments)[1]
    code, _, err = avvp(*arguments, "--prompts", "names")
    assert (code, err.count("\n")) == (2, 1)
    assert "lacks 'Frying' of 'Frying food', 'infant' of 'Baby cry infant cry'" in err
    code, _, err = avvp(*arguments, "--prompts", "names", "--oov", "skip-word")
    assert (code, "add --rebuild" in err) == (2, True)
    assert avvp(*arguments, "--prompts", "names", "--oov", "skip-word", "--rebuild")[0] == 0


def test_import(avvp, store, shared_dir):
    path = shared_dir / "reference" / "llp_glove300.npz"
    code, out, _ = avvp("labels", "--store", store, "--embedder", "glove", "--import", path)
    assert (code, "25 classes of llp, 300 numbers each, imported from llp_glove300.npz" in out) == (0, True)
    code, _, err = avvp("labels", "--store", store, "--embedder", "glove", "--import", path, "--oov", "error")
    assert (code, "leave --oov out" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--embedder", "glvoe"], "Did you mean 'glove'?"),
        (["--embedder", "glove", "--pooling", "cls"], "has no option --pooling"),
        (["--embedder", "glove", "--weights", "{tmp}/none.txt"], "no such file"),
        (["--embedder", "glove", "--weights", "{tmp}/short.txt"], "line 1: vectors have 2 dimensions, expected 300"),
        (["--embedder", "glove", "--weights", "{tmp}/broken.txt", "--dim", "2"], "broken.txt: line 2: expected a word"),
        (["--embedder", "glove", "--classes", "{tmp}/none.toml"], "no such dataset description"),
        (["--embedder", "glove", "--prompts", "{tmp}/prompts.toml"], "name class 'Hose', which llp lacks"),
        (["--embedder", "glove", "--weights", "random:x"], "expected random:SEED"),
        (["--embedder", "clap", "--weights", "random:0"], "--tokenizer FOLDER"),
        (["--embedder", "bert"], "cannot be had from the Hugging Face hub"),
        ([], "Missing option '--embedder'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(avvp, store, tmp_path, arguments, words):
    (tmp_path / "short.txt").write_text("speech 1 2\ncar 1 2\n")
    (tmp_path / "broken.txt").write_text("speech 1 2\ncar 1 x\ndog 1 2\n")
    (tmp_path / "prompts.toml").write_text('[prompts]\nHose = "a hose"\n')
    code, out, err = avvp("labels", "--store", store, *[text.format(tmp=tmp_path) for text in arguments])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert LabelStore.open(store).embedders == ()


def test_random_vectors_differ_by_word(avvp, store):
    assert avvp("labels", "--store", store, "--embedder", "glove", "--weights", "random:0")[0] == 0
    vectors = LabelStore.open(store).read_embeddings("glove").vectors
    assert len(np.unique(vectors.round(6), axis=0)) == 25
