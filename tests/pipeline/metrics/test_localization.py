import numpy as np
import pytest

from pipeline.metrics.bootstrap import mean_intervals
from pipeline.metrics.localization import (
    baselines,
    class_accuracy,
    localization_scores,
    segment_classes,
    video_accuracy,
)
from storage.errors import InvalidInput

BACKGROUND = 3
TRUTH = np.array([[0, 0, 3, 3], [1, 1, 1, 1], [3, 3, 3, 3]])


def test_perfect():
    assert set(localization_scores(TRUTH, TRUTH, background=BACKGROUND).as_dict().values()) == {100.0}


def test_by_hand():
    found = np.array([[0, 1, 3, 0], [1, 1, 3, 2], [3, 3, 3, 0]])
    scores = localization_scores(found, TRUTH, background=BACKGROUND)
    assert scores.accuracy == pytest.approx(100 * 7 / 12)
    assert scores.foreground == pytest.approx(100 * 3 / 6)
    assert scores.background == pytest.approx(100 * 4 / 6)
    assert video_accuracy(found, TRUTH).tolist() == [50, 50, 75]
    counts, shares = class_accuracy(found, TRUTH, classes=4)
    assert counts.tolist() == [2, 4, 0, 6]
    np.testing.assert_allclose(shares, [50, 50, np.nan, 100 * 4 / 6])


def test_nothing_of_a_kind_cannot_be_wrong():
    scores = localization_scores(np.array([[0, 1]]), np.array([[0, 0]]), background=BACKGROUND)
    assert (scores.accuracy, scores.foreground, scores.background) == (50, 50, 100)


def test_equal_to_counting_one_by_one():
    random = np.random.default_rng(0)
    found, truth = random.integers(0, 29, (50, 10)), random.integers(20, 29, (50, 10))
    right = sum(found[v, s] == truth[v, s] for v in range(50) for s in range(10))
    assert localization_scores(found, truth, background=28).accuracy == pytest.approx(right / 5)
    interval = mean_intervals(video_accuracy(found, truth)[:, None], ("accuracy",))["accuracy"]
    assert interval.estimate == pytest.approx(right / 5)
    assert interval.low <= interval.estimate <= interval.high


def test_a_gate_overrules_the_scores_from_its_threshold_down():
    scores = np.array([[[2.0, 1, 0], [0, 2, 1], [0, 1, 2]]])
    assert segment_classes(scores).tolist() == [[0, 1, 2]]
    event = np.array([[0.5, 0.49, 1.0]])
    assert segment_classes(scores, event).tolist() == [[0, 2, 2]]
    assert segment_classes(scores, event, threshold=0.0).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("found", [np.zeros((3, 5), int), np.zeros(3, int), np.zeros((0, 4), int)])
def test_malformed(found):
    with pytest.raises(InvalidInput, match=r"expected \[videos, segments\] twice"):
        localization_scores(found, TRUTH if len(found) else found, background=BACKGROUND)


def test_baselines_by_hand():
    truth = np.array([[0, 2, 2, 0], [1, 1, 1, 1]])
    found = baselines(truth, np.array([0, 1]), background=2)
    assert found["background everywhere"].as_dict() == {"accuracy": 25.0, "foreground": 0.0, "background": 100.0}
    assert found["the right event everywhere"].as_dict() == {"accuracy": 75.0, "foreground": 100.0, "background": 0.0}
