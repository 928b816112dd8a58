"""Puts overlapping windows together on one grid of segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class SegmentGrid:
    """The mean of all windows' probabilities in each segment of a file.

    What a window says of itself as a whole counts for each of its segments.

    Args:
        segments: of the file.
    """

    def __init__(self, segments: int) -> None:
        self.segments = segments
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._windows = np.zeros(segments, dtype=np.int64)

    def add(self, first: Sequence[int], scores: Mapping[str, Floats]) -> None:
        """Add windows.

        Args:
            first: the segment where each window begins; its segments past the end of the file are dropped.
            scores: by name, ``[windows, segments, classes]``, or ``[windows, classes]`` of whole windows.
        """
        length = next(block.shape[1] for block in scores.values() if block.ndim == 3)
        for window, begins in enumerate(first):
            span = slice(begins, min(begins + length, self.segments))
            self._windows[span] += 1
            for name, block in scores.items():
                values = block[window] if block.ndim == 2 else block[window, : span.stop - span.start]
                if name not in self._sums:
                    self._sums[name] = np.zeros((self.segments, block.shape[-1]))
                self._sums[name][span] += values

    def mean(self) -> dict[str, Floats]:
        """By name, ``[segments, classes]``; NaN where no window was added. Of one window, its very numbers."""
        with np.errstate(invalid="ignore"):
            return {name: (total / self._windows[:, None]).astype(np.float32) for name, total in self._sums.items()}
