from dataclasses import astuple

import numpy as np
import pytest

from pipeline.metrics.bootstrap import bootstrap_intervals, paired_bootstrap
from pipeline.metrics.parsing import SCORES, VideoScores, video_scores
from storage.errors import InvalidInput


def test_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(0).normal(50, 10, (1200, 11))
    found = bootstrap_intervals(VideoScores(values), seed=1)
    assert list(found) == list(SCORES)
    for column, interval in enumerate(found.values()):
        half = 1.96 * values[:, column].std() / np.sqrt(1200)
        assert interval.estimate == pytest.approx(values[:, column].mean())
        assert interval.high - interval.estimate == pytest.approx(half, rel=0.15)
        assert interval.estimate - interval.low == pytest.approx(half, rel=0.15)


def test_seeded(random_arrays):
    videos = video_scores(*random_arrays())
    assert bootstrap_intervals(videos, seed=3) == bootstrap_intervals(videos, seed=3)
    assert bootstrap_intervals(videos, seed=3) != bootstrap_intervals(videos, seed=4)


def test_pairs_are_sharper_than_two_intervals():
    random = np.random.default_rng(0)
    hard = random.uniform(0, 100, (800, 11))
    first, second = VideoScores(hard + 1), VideoScores(hard + random.normal(0, 3, hard.shape))
    difference = paired_bootstrap(first, second)["average"]
    assert 0 < difference.low < 1 < difference.high < 2
    assert difference.share_above_zero == 1
    alone = bootstrap_intervals(first)["average"]
    assert alone.high - alone.low > 5 * (difference.high - difference.low)
    assert paired_bootstrap(first, first)["seg_a"].estimate == 0


def test_many_samples_come_in_batches(monkeypatch, random_arrays):
    videos = video_scores(*random_arrays())
    together = bootstrap_intervals(videos, resamples=50)
    monkeypatch.setattr("pipeline.metrics.bootstrap._DRAWS_AT_ONCE", 40 * 7)
    for name, interval in bootstrap_intervals(videos, resamples=50).items():
        np.testing.assert_allclose(astuple(interval), astuple(together[name]), atol=1e-10)


def test_malformed(random_arrays):
    videos = video_scores(*random_arrays())
    with pytest.raises(InvalidInput, match="same videos: got 40 and 1"):
        paired_bootstrap(videos, videos.select([0]))
    with pytest.raises(InvalidInput, match="0 resamples"):
        bootstrap_intervals(videos, resamples=0)
    with pytest.raises(InvalidInput, match=r"confidence 95"):
        bootstrap_intervals(videos, confidence=95)
