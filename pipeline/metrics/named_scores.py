"""Scores of each video that a report shows beside the eleven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from pipeline.metrics.bootstrap import Interval, mean_intervals
from pipeline.metrics.counts import Floats
from storage.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class NamedScores:
    """Scores of each video, in percent.

    Attributes:
        headings: of a table, by name of the score, in order.
        values: ``[videos, scores]``.
    """

    headings: Mapping[str, str]
    values: Floats

    def __len__(self) -> int:
        return len(self.values)

    def mean(self) -> dict[str, float]:
        """Averages over videos, by name.

        Raises:
            InvalidInput: If there are no videos.
        """
        if not len(self):
            raise InvalidInput("no videos to average over: the subset is empty")
        return dict(zip(self.headings, (float(value) for value in self.values.mean(axis=0)), strict=True))

    def intervals(self, *, resamples: int = 2000, seed: int = 0) -> dict[str, Interval]:
        """95 % intervals, see :func:`pipeline.metrics.bootstrap.mean_intervals`."""
        return mean_intervals(self.values, tuple(self.headings), resamples=resamples, seed=seed)

    def select(self, rows: ArrayLike) -> Self:
        """Select videos by a bool mask or by their indices."""
        return type(self)(self.headings, self.values[np.asarray(rows)])
