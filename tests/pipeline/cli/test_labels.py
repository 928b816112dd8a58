"""``avvp labels`` from the command line: one line for each result and each mistake."""

import json

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


@pytest.fixture
def toy_arguments(toy, toy_store, toy_files, tmp_path):
    """A store that looks and listens well, its annotations, description and thresholds."""
    truth = toy_files()
    audio, visual = np.full((4, 5, 3), -1), np.full((4, 5, 3), -1)
    audio[2, :2, 0] = audio[2, 4, 2] = visual[2, 1:3, 0] = visual[3, :4, 1] = 1
    (tmp_path / "t.toml").write_text("audio = [5, 5, 5]\nvisual = [50, 50, 50]\n")
    store = toy_store(audio, visual)
    return ["--store", store, "--classes", tmp_path / "toy.toml"], ["--annotations", truth, "--split", "test"]


def test_pseudo_labels_scores_and_search(avvp, toy_arguments, tmp_path):
    base, truth = toy_arguments
    code, out, err = avvp("pseudo-labels", *base, "--thresholds", tmp_path / "t.toml")
    assert (code, err) == (0, "")
    assert "pseudo_labels/valor: 4 of 4 clips, 5 segments, 3 classes; 3 labels heard, 6 seen" in out
    assert "nothing to do" in avvp("pseudo-labels", *base, "--thresholds", tmp_path / "t.toml")[1]
    out = avvp("inspect", base[1])[1]
    assert "labels/clip/vectors" in out
    assert "pseudo_labels/valor/visual_logits" in out
    code, out, _ = avvp("pseudo-labels", "score", *base, *truth, "--json")
    found = json.loads(out)
    assert (code, found["clips"], found["split"]) == (0, 2, "test")
    assert [row["f1"] for row in found["audio"]] == [1, None, 1, 1]
    cat = found["visual"][1]
    assert (cat["precision"], cat["recall"], cat["segments"]) == (1, 0.8, 5)
    code, out, _ = avvp("pseudo-labels", "score", *base, *truth)
    assert code == 0
    assert "Cat       100.0    80.0   88.9         5          4" in out
    code, out, _ = avvp("pseudo-labels", "search", *base, *truth, "--out", tmp_path / "new.toml")
    assert (code, "thresholds from 2 clips of test" in out) == (0, True)
    arguments = ["--thresholds", tmp_path / "new.toml", "--name", "tuned"]
    assert avvp("pseudo-labels", *base, *arguments)[0] == 0
    out = avvp("pseudo-labels", "score", *base, *truth, "--teacher", "tuned", "--json")[1]
    assert all(row["f1"] in (1, None) for row in json.loads(out)["visual"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{base}", "--thresholds", "{tmp}/short.toml"], "audio: expected 3 thresholds, one a class, got 2"),
        (["{base}"], "--thresholds valor: no such file, and none are shipped by that name for toy"),
        (["{base}", "--thresholds", "{tmp}/t.toml", "--annotations", "{tmp}/other"], "has no labels for 't2', 'e1'"),
        (["{base}", "--import", "{tmp}"], "no such folder. Expected VALOR's CLAP/segment_pseudo_labels"),
        (["score", "{base}", "--annotations", "{tmp}/annotations", "--split", "val"], "no pseudo_labels 'valor'"),
        (["score", "{base}"], "Missing option '--annotations'"),
        (["{base}", "score"], "options go behind the word 'score'"),
        ([], "Missing option '--store'"),
    ],
)
def test_pseudo_label_mistakes(avvp, toy_arguments, tmp_path, arguments, words):
    (tmp_path / "short.toml").write_text("audio = [1, 2]\nvisual = [1, 2, 3]\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.csv").write_text("filename\tevent_labels\nt1\tDog\n")
    base = [str(part) for part in toy_arguments[0]]
    filled = [part for text in arguments for part in (base if text == "{base}" else [text.format(tmp=tmp_path)])]
    code, out, err = avvp("pseudo-labels", *filled)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
