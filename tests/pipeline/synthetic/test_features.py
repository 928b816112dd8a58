"""The toy of made-up features can be learned, and its features say what happens."""

import json

import numpy as np
import pytest

from pipeline.datasets.llp import load_annotations
from pipeline.synthetic.features import EASY, EASY_CLASSES, Difficulty, difficulty_of, write_features
from pipeline.train import run_training
from storage.errors import InvalidInput
from storage.labels import LabelStore

SMALL = ("model.width=64", "model.encoder.feed_forward=64", "train.batch_size=8", "train.learning_rate=1e-3",
         "train.schedule=constant")  # fmt: skip


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return folder, write_features(folder, count=120, seed=0, difficulty=EASY, classes=EASY_CLASSES)


def test_an_easy_toy_is_learned_in_a_few_epochs(toy, tmp_path):
    folder, store = toy
    run_training(
        recipe="han", store_url=store.url, annotations=str(folder / "annotations"), out=tmp_path / "run", device="cpu",
        changes=(*SMALL, "train.epochs=10"),
    )  # fmt: skip
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    scores = [json.loads(line)["val"]["seg_event"] for line in lines]
    print(scores)
    assert scores[0] < 10
    assert max(scores) > 40


def test_features_are_nearest_to_the_prototypes_of_what_happens(toy):
    """A linear reader tells the classes of a segment with one class alone from each other."""
    folder, store = toy
    labels = load_annotations(folder / "annotations").split("val").align(store.ids[80:100])
    for name, truth in (("vggish", labels.audio), ("resnet152", labels.visual)):
        values = store.read(name, slice(80, 100)).reshape(200, -1)
        flat = truth.reshape(200, -1).astype(bool)
        alone = flat.sum(axis=1) == 1
        kinds, rows = flat[alone].argmax(axis=1), values[alone] - values.mean(axis=0)
        means = np.stack([rows[kinds == kind].mean(axis=0) for kind in np.unique(kinds)])
        found = np.unique(kinds)[(rows @ means.T).argmax(axis=1)]
        assert (found == kinds).mean() > 0.9


def test_a_store_keeps_how_it_was_made(tmp_path):
    made = Difficulty(noise=2.0, error_seconds=3.0, overlap=0.2, frequencies="llp")
    assert difficulty_of(write_features(tmp_path / "a", count=60, difficulty=made)) == made
    plain = write_features(tmp_path / "b", count=12, held_out=2)
    assert difficulty_of(plain) == Difficulty()
    assert [clip.split for clip in plain.clips] == ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    assert 0 < plain.provenance("vggish").preprocessing["segments_with_several_events"] < 1


def test_knobs_change_nothing_that_is_not_theirs(tmp_path):
    plain = write_features(tmp_path / "a", count=12)
    longer = write_features(tmp_path / "b", count=12, difficulty=Difficulty(error_seconds=4.0))
    np.testing.assert_array_equal(plain.read("vggish"), longer.read("vggish"))
    labels = [LabelStore.open(store.url).read_pseudo_labels("valor").audio for store in (plain, longer)]
    assert (labels[0] != labels[1]).any()


def test_what_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="noise is -1, expected 0"):
        Difficulty(noise=-1)
    with pytest.raises(InvalidInput, match="error_seconds is 0, expected 1 to 10"):
        Difficulty(error_seconds=0)
    with pytest.raises(InvalidInput, match="6 clips of val and of test leave none of 12 for training"):
        write_features(tmp_path / "a", count=12, held_out=6)
    write_features(tmp_path / "b", count=12)
    real = load_annotations(tmp_path / "b" / "annotations")
    with pytest.raises(InvalidInput, match="have their own frequencies and overlap"):
        write_features(tmp_path / "c", count=12, annotations=real, difficulty=Difficulty(overlap=0.1))


def test_every_array_that_a_parsing_recipe_reads(tmp_path):
    store = write_features(tmp_path, count=24, seed=0, every_array=True)
    assert (store.spec("clap_map").steps, store.spec("clap_map").dim) == (64, 768)
    labels = LabelStore.open(store.url)
    assert labels.embedders == ("bert", "clip", "glove")
    assert not np.array_equal(labels.read_embeddings("bert").vectors, labels.read_embeddings("clip").vectors)
    values = store.read("clap_map", [0])[0]
    np.testing.assert_array_equal(values[:32], values[32:])  # both frequencies hear the same
    assert len(np.unique(values, axis=0)) == 10, "a value a second"
