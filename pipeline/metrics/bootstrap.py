"""Confidence intervals of scores, by percentile bootstrap over videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.metrics.counts import Floats
from pipeline.metrics.parsing import SCORES, VideoScores
from storage.errors import InvalidInput

_DRAWS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Interval:
    """A score, or a difference of two, in percent points.

    Attributes:
        estimate: on the videos themselves.
        low: lower end of the confidence interval.
        high: upper end.
        share_above_zero: of the bootstrap samples; for a difference, how often the first system wins.
    """

    estimate: float
    low: float
    high: float
    share_above_zero: float


def bootstrap_intervals(
    videos: VideoScores, *, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Confidence intervals of the eleven scores.

    Args:
        videos: one system's scores by video.
        resamples: bootstrap samples, each as many videos as there are, drawn with replacement.
        confidence: between 0 and 1.
        seed: the same seed and number of videos draw the same samples.

    Returns:
        By score, in the order of :data:`pipeline.metrics.parsing.SCORES`.

    Raises:
        InvalidInput: If there are no videos, no resamples, or the confidence is not between 0 and 1.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    return mean_intervals(videos.values, SCORES, resamples=resamples, confidence=confidence, seed=seed)


def paired_bootstrap(
    first: VideoScores, second: VideoScores, *, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Confidence intervals of ``first - second`` on the same videos; arguments as for :func:`bootstrap_intervals`.

    Raises:
        InvalidInput: If the two have not the same number of videos.
    """
    if len(first) != len(second):
        raise InvalidInput(f"a paired bootstrap needs the same videos: got {len(first)} and {len(second)}")
    return mean_intervals(first.values - second.values, SCORES, resamples=resamples, confidence=confidence, seed=seed)


def mean_intervals(
    values: Floats, names: Sequence[str], *, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Confidence intervals of any scores that are means over videos.

    Args:
        values: ``[videos, scores]``.
        names: of the scores.
        resamples: see :func:`bootstrap_intervals`.
        confidence: likewise.
        seed: likewise.

    Raises:
        InvalidInput: See :func:`bootstrap_intervals`.
    """
    if not len(values) or resamples < 1 or not 0 < confidence < 1:
        raise InvalidInput(
            f"got {len(values)} videos, {resamples} resamples and confidence {confidence}; "
            f"expected at least one of each and a confidence between 0 and 1"
        )
    means = np.concatenate(list(_resampled_means(values, resamples, np.random.default_rng(seed))))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail), axis=0)
    rows = zip(names, values.mean(axis=0), low, high, (means > 0).mean(axis=0), strict=True)
    return {name: Interval(*(float(number) for number in numbers)) for name, *numbers in rows}


def _resampled_means(values: Floats, resamples: int, random: np.random.Generator) -> Iterator[Floats]:
    """Means of samples with replacement, in batches ``[samples, scores]``."""
    videos = len(values)
    at_once = max(1, _DRAWS_AT_ONCE // videos)
    for start in range(0, resamples, at_once):
        number = min(at_once, resamples - start)
        drawn = random.integers(videos, size=(number, videos)) + videos * np.arange(number)[:, None]
        times = np.bincount(drawn.ravel(), minlength=number * videos).reshape(number, videos)
        yield times @ values / videos
