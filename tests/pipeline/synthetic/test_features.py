"""The toy of made-up features can be learned, and its features say what happens."""

import json

import numpy as np
import pytest

from pipeline.datasets.llp import load_annotations
from pipeline.synthetic.features import EASY, EASY_CLASSES, write_features
from pipeline.train import run_training

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
