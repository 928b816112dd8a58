import numpy as np
import pytest

from pipeline.datasets.llp import load_annotations
from pipeline.datasets.threshold_files import Thresholds
from pipeline.labels.pseudo_label_scores import rows_with_truth, score, search_thresholds
from storage.errors import InvalidInput
from storage.layout.label_schema import LabelProvenance, PseudoLabels

CLASSES = ("Dog", "Cat", "Rain")


def labels_of(audio_logits, visual_logits, known):
    shape = audio_logits.shape
    nothing = np.zeros(shape, np.uint8)
    origin = LabelProvenance("valor", "1")
    return PseudoLabels("valor", origin, CLASSES, nothing, nothing, known, audio_logits, visual_logits)


def test_scores_by_hand():
    said = np.array([[[1, 0, 0], [1, 1, 0]], [[0, 1, 0], [0, 0, 0]]], np.uint8)
    truth = np.array([[[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [1, 0, 0]]], bool)
    dog, cat, rain, every = score(said, truth, CLASSES).rows()
    assert (dog["precision"], dog["recall"]) == (0.5, pytest.approx(1 / 3))
    assert dog["f1"] == pytest.approx(2 / 5)
    assert (dog["segments"], dog["predicted"]) == (3, 2)
    assert (cat["precision"], cat["recall"], cat["f1"]) == (0.5, 1.0, pytest.approx(2 / 3))
    assert (rain["precision"], rain["recall"], rain["f1"]) == (None, None, None)
    assert (every["class"], every["precision"], every["recall"]) == ("all", 0.5, 0.5)


def test_perfect_and_empty():
    truth = np.random.default_rng(0).random((3, 4, 3)) < 0.5
    assert all(row["f1"] == 1 for row in score(truth.astype(np.uint8), truth, CLASSES).rows())
    nothing = score(np.zeros((0, 4, 3), np.uint8), np.zeros((0, 4, 3), bool), CLASSES).rows()
    assert all(row["f1"] is None for row in nothing)


def test_rows_with_truth(toy, toy_files):
    annotations = load_annotations(toy_files(), dataset=toy)
    logits = np.zeros((4, 5, 3), np.float32)
    labels = labels_of(logits, logits, np.array([True, True, False, True]))
    rows, truth = rows_with_truth(labels, ["e2", "t1", "e1", "x"], annotations.split("test"))
    assert (rows, truth.ids) == ([0], ("e2",))
    with pytest.raises(InvalidInput, match="none of its 2 clips with ground truth has pseudo labels 'valor'"):
        rows_with_truth(labels, ["a", "t1", "e1", "x"], annotations.split("test"))


def test_search_by_hand(toy, toy_files):
    truth = load_annotations(toy_files(), dataset=toy).split("test")
    audio = np.zeros((2, 5, 3), np.float32)
    audio[0, :, 0] = [9, 4, 5, 1, 1]  # a dog is heard in 0 and 1: the top three have F1 0.8, the top two 0.5
    audio[0, :, 2] = [1, 1, 1, 1, 1]  # rain is heard in 4, but all look alike
    audio[1, :, 0] = 100  # not in this clip's weak label, hence never a dog
    visual = np.zeros((2, 5, 3), np.float32)
    visual[0, :, 0] = [0, 3, 2, 1, np.nan]  # a dog is seen in 1 and 2
    visual[1, :, 1] = [7, 7, 8, 7, 7]  # a cat throughout
    fallback = Thresholds(np.array([-1.0, -2, -3]), np.array([-4.0, -5, -6]))
    found = search_thresholds(labels_of(audio, visual, np.ones(2, bool)), [0, 1], truth, fallback=fallback)
    assert found.audio.tolist() == [2.5, -2, 0.5]
    assert found.visual.tolist() == [1.5, 6.5, -6]


def test_search_finds_the_best_of_all_thresholds(toy, toy_files):
    truth = load_annotations(toy_files(), dataset=toy).split("test")
    random = np.random.default_rng(3)
    logits = random.integers(0, 6, (2, 5, 3)).astype(np.float32)
    none = Thresholds(np.zeros(3), np.zeros(3))
    found = search_thresholds(labels_of(logits, logits, np.ones(2, bool)), [0, 1], truth, fallback=none)

    def f1(threshold, label):
        said = (logits[:, :, label] > threshold) & truth.weak[:, None, label]
        hits = (said & truth.audio[:, :, label]).sum()
        return 2 * hits / max(said.sum() + truth.audio[:, :, label].sum(), 1)

    for label in range(3):
        best = max(f1(threshold, label) for threshold in np.arange(-1, 7, 0.5))
        assert f1(found.audio[label], label) == pytest.approx(best)
