"""Pseudo labels that are wrong at a stated rate, in single segments or for seconds at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


def wrong_labels(
    truth: Bools, weak: Bools, random: np.random.Generator, *, precision: float, recall: float,
    error_seconds: float = 1.0,
) -> NDArray[np.uint8]:  # fmt: skip
    """Lose some true segments, and add some segments of the video's classes.

    Args:
        truth: ``[clips, segments, classes]``.
        weak: ``[clips, classes]``, of both modalities; only these classes are added, as VALOR's rule has it.
        random: to draw from.
        precision: of the positive segments, on average.
        recall: of the true positive segments, on average.
        error_seconds: mean length of a run of errors; 1 draws each segment for itself. Where too many segments are
            wrong for runs so short, they are as short as can be.

    Returns:
        ``[clips, segments, classes]`` uint8.
    """
    kept = truth & ~_errors(1 - random.random(truth.shape), 1 - recall, error_seconds)
    open_places = ~truth & weak[:, None, :]
    wanted = kept.sum() * (1 - precision) / precision
    share = min(1.0, wanted / max(int(open_places.sum()), 1))
    added = open_places & _errors(random.random(truth.shape), share, error_seconds)
    made: NDArray[np.uint8] = (kept | added).astype(np.uint8)
    return made


def _errors(draws: NDArray[np.float64], share: float, seconds: float) -> Bools:
    """Whether each segment is wrong: a chain of two states that stays wrong for ``seconds`` on average.

    The chain begins in its stationary state, so that each segment is wrong with probability ``share``.
    """
    wrong: Bools = draws < share
    if seconds <= 1 or share >= 1:
        return wrong
    ends = 1 / max(seconds, share / (1 - share))
    begins = ends * share / (1 - share)
    for segment in range(1, draws.shape[1]):
        before = wrong[:, segment - 1]
        wrong[:, segment] = np.where(before, draws[:, segment] >= ends, draws[:, segment] < begins)
    return wrong
