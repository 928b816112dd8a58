"""Finds events as runs of segments."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def true_runs(present: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Runs of true segments of ``[segments]``: ``[first, last)`` of each, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
