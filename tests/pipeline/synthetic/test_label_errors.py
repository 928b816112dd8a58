"""Wrong pseudo labels: their rates, and how long they are wrong."""

import numpy as np
import pytest

from pipeline.datasets.spans import true_runs
from pipeline.synthetic.label_errors import wrong_labels

SHAPE = (400, 10, 5)


@pytest.fixture(scope="module")
def truth():
    """Each clip has classes 0 and 1, the first for all of its seconds, the second for half."""
    made = np.zeros(SHAPE, dtype=bool)
    made[:, :, 0] = made[:, :5, 1] = True
    return made


def wrong(truth, seconds, *, precision=0.8, recall=0.7):
    random = np.random.default_rng(0)
    weak = truth.any(axis=1)
    return wrong_labels(truth, weak, random, precision=precision, recall=recall, error_seconds=seconds).astype(bool)


def mean_run(errors):
    runs = [end - first for row in errors for first, end in true_runs(row)]
    return np.mean(runs)


@pytest.mark.parametrize("seconds", [1.0, 2.0, 4.0, 10.0])
def test_rates_hold_however_long_the_errors_are(truth, seconds):
    made = wrong(truth, seconds)
    right = (made & truth).sum()
    assert right / made.sum() == pytest.approx(0.8, abs=0.03)
    assert right / truth.sum() == pytest.approx(0.7, abs=0.03)
    assert not made[:, :, 2:].any()


def test_errors_last_longer(truth):
    lost = [mean_run((truth & ~wrong(truth, seconds))[:, :, 0]) for seconds in (1.0, 2.0, 4.0)]
    assert lost[0] == pytest.approx(1 / 0.7, abs=0.1)  # each segment for itself: runs come by chance
    assert lost[0] < lost[1] < lost[2]


def test_nothing_is_wrong_where_labels_are_right(truth):
    for seconds in (1.0, 4.0):
        np.testing.assert_array_equal(wrong(truth, seconds, precision=1.0, recall=1.0), truth)


def test_everything_can_be_lost(truth):
    for seconds in (1.0, 4.0):
        assert not wrong(truth, seconds, recall=0.0).any()
