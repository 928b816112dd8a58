from dataclasses import replace

import numpy as np
import pytest

from pipeline.labels.pseudo_labels import Sources, decide, make_pseudo_labels, similarity_logits
from storage.errors import InvalidInput, SchemaMismatch, StoreError
from storage.labels import LabelStore
from storage.store import FeatureStore

DOG, CAT, RAIN = np.eye(3)
NOTHING = np.full(3, np.nan)


@pytest.fixture
def thresholds(tmp_path):
    (tmp_path / "t.toml").write_text("audio = [5, 5, 5]\nvisual = [50, 50, 100]\n")
    return tmp_path / "t.toml"


@pytest.fixture
def full(toy_store):
    """Audio: a dog in every first segment. Visual: dog, cat, rain, dog and cat, nothing much."""
    audio = np.tile(np.stack([DOG, CAT, CAT, RAIN, -DOG]), (4, 1, 1))
    visual = np.tile(np.stack([DOG, CAT, RAIN, [0.6, 0.8, 0], [0.1, 0.1, -0.9]]), (4, 1, 1))
    return toy_store, audio, visual


def test_the_rule_by_hand():
    logits = np.array([[[2.0, 2.0, 2.0], [3.0, 3.0, 3.0], [2.0000002, 1.0, np.nan]]], np.float32)
    weak = np.array([[True, False, True]])
    found = decide(logits, np.array([2.0, 1.0, 2.5]), weak)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[0, 0, 0], [1, 0, 1], [1, 0, 0]]]


def test_equal_to_the_threshold_is_no_label_and_a_row_may_be_empty():
    logits = np.array([[[15.0, -2.0], [15.000001, -1.9]]], np.float32)
    both = np.array([[True, True]])
    assert decide(logits, np.array([15.0, -2.0]), both).tolist() == [[[0, 0], [1, 1]]]
    assert decide(logits, np.array([15.0, -2.0]), ~both).tolist() == [[[0, 0], [0, 0]]]


def test_similarities_are_scaled_cosines():
    features = np.array([[[3.0, 4.0], [0.0, 0.0], [np.nan, np.nan]]], np.float32)
    found = similarity_logits(features, np.array([[2.0, 0.0], [0.0, -1.0]], np.float32), logit_scale=10.0)
    np.testing.assert_allclose(found[0, :2], [[6, -8], [0, 0]], rtol=1e-6)
    assert np.isnan(found[0, 2]).all()
    biased = similarity_logits(features, np.array([[2.0, 0.0]], np.float32), logit_scale=10.0, logit_bias=-2.5)
    np.testing.assert_allclose(biased[0, :2], [[3.5], [-2.5]], rtol=1e-6)


def test_from_the_store_alone(full, toy, thresholds):
    make, audio, visual = full
    url = make(audio, visual)
    made, written = make_pseudo_labels(url, dataset=toy, thresholds=thresholds)
    assert written
    found = LabelStore.open(url).read_pseudo_labels("valor", classes=toy.classes)
    np.testing.assert_array_equal(found.audio, made.audio)
    assert found.known.all()
    # t1 is weakly a dog: heard in segment 0, seen in 0 and, at 60 > 50, in 3. Cats and rain are not in its label.
    assert found.audio[0].T.tolist() == [[1, 0, 0, 0, 0], [0] * 5, [0] * 5]
    assert found.visual[0].T.tolist() == [[1, 0, 0, 1, 0], [0] * 5, [0] * 5]
    # t2 is weakly cat and rain; rain is seen at exactly its threshold of 100, so it is not.
    assert found.audio[1].T.tolist() == [[0] * 5, [0, 1, 1, 0, 0], [0, 0, 0, 1, 0]]
    assert found.visual[1].T.tolist() == [[0] * 5, [0, 1, 0, 1, 0], [0] * 5]
    assert found.visual_video[1].tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.visual_logits[2, 3], [60, 80, 0], rtol=1e-5)
    facts = found.provenance.facts
    assert facts["thresholds"] == {"audio": [5, 5, 5], "visual": [50, 50, 100]}
    assert (facts["audio"]["logit_scale"], facts["visual"]["logit_scale"]) == (10, 100)
    assert facts["visual"]["fingerprint"] == FeatureStore.open(url).fingerprint("clip_vit_l14")
    assert not make_pseudo_labels(url, dataset=toy, thresholds=thresholds)[1]
    thresholds.write_text("audio = [5, 5, 5]\nvisual = [50, 50, 99]\n")
    with pytest.raises(SchemaMismatch, match="pseudo_labels/valor has thresholds"):
        make_pseudo_labels(url, dataset=toy, thresholds=thresholds)
    assert make_pseudo_labels(url, dataset=toy, thresholds=thresholds, name="lower")[1]
    assert LabelStore.open(url).teachers == ("lower", "valor")
    assert LabelStore.open(url).read_pseudo_labels("lower").visual[1, 2, 2] == 1


def test_clips_without_features_are_not_known(full, toy, thresholds):
    make, audio, visual = full
    audio, visual = audio.copy(), visual.copy()
    audio[0] = NOTHING
    audio[1] = visual[1] = NOTHING
    visual[2, 3:] = NOTHING
    url = make(audio, visual, labels=("Dog", "Cat;Rain", "Dog;Rain", ""))
    made, _ = make_pseudo_labels(url, dataset=toy, thresholds=thresholds)
    assert made.known.tolist() == [True, False, True, False]
    assert not made.audio[0].any()
    assert made.visual[0].any()
    assert not made.visual[2, 3:].any()
    assert np.isnan(made.visual_logits[2, 3:]).all()


def test_weak_labels_from_a_folder(full, toy, thresholds, toy_files):
    make, audio, visual = full
    url = make(audio[:3], visual[:3], labels=("", "", ""))
    with pytest.raises(InvalidInput, match=r"its clips have no labels.*--annotations DIR"):
        make_pseudo_labels(url, dataset=toy, thresholds=thresholds)
    folder = toy_files()
    with pytest.raises(
        InvalidInput, match=r"annotations: labels 1 clips that .*toy.zarr lacks, such as 'e2'.*--subset"
    ):
        make_pseudo_labels(url, dataset=toy, thresholds=thresholds, annotations=folder)
    made, _ = make_pseudo_labels(url, dataset=toy, thresholds=thresholds, annotations=folder, subset=True)
    assert made.audio[0, 0].tolist() == [1, 0, 0]
    folder = toy_files(train="filename\tevent_labels\nt1\tDog\n")
    with pytest.raises(InvalidInput, match=r"has no labels for 't2' of .*toy\.zarr"):
        make_pseudo_labels(url, dataset=toy, thresholds=thresholds, annotations=folder, subset=True)


@pytest.fixture
def full_three(full):
    make, audio, visual = full
    return lambda **options: make(audio, visual, **options)


def test_what_cannot_be_compared(full_three, toy, thresholds):
    url = full_three(weights="sha256:ab")
    with pytest.raises(SchemaMismatch, match="clap was made with weights sha256:ab, labels/clap with random:0"):
        make_pseudo_labels(url, dataset=toy, thresholds=thresholds)
    url = full_three(name="second.zarr")
    short = replace(toy, segments=10)
    with pytest.raises(SchemaMismatch, match="clap has 5 steps, toy has 10 segments"):
        make_pseudo_labels(url, dataset=short, thresholds=thresholds)
    with pytest.raises(SchemaMismatch, match="holds clips of 10 s, those of toy are 4 s"):
        make_pseudo_labels(url, dataset=replace(toy, clip_seconds=4), thresholds=thresholds)
    with pytest.raises(StoreError, match="no labels 'bert'"):
        make_pseudo_labels(url, dataset=toy, thresholds=thresholds, sources=Sources(audio_labels="bert"))
    with pytest.raises(StoreError, match="no features 'vggish'"):
        make_pseudo_labels(url, dataset=toy, thresholds=thresholds, sources=Sources(audio="vggish"))
    with pytest.raises(InvalidInput, match="--teacher 'x': expected one of valor"):
        make_pseudo_labels(url, dataset=toy, thresholds=thresholds, teacher="x")


def test_labels_that_the_dataset_lacks(full_three, toy, thresholds):
    url = full_three(labels=("Dog", "Hose", "Dog", "Cat"))
    with pytest.raises(InvalidInput, match="clip 't2' has the label 'Hose', which toy lacks"):
        make_pseudo_labels(url, dataset=toy, thresholds=thresholds)
