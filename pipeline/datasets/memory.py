"""Loads the features of a split into memory, averaged over segments.

Most parsing networks pass 80 frames through one linear layer and then average the 8 frames of a second. Averaging first
gives the same result, because both steps are linear. It takes an eighth of the memory, and an epoch decodes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storage.store import FeatureStore

_BLOCK_ROWS = 64


@dataclass(frozen=True)
class InMemory:
    """One backbone's features of some clips.

    Attributes:
        values: ``[clips, segments, dim]`` float32; 0 where not valid.
        valid: ``[clips, segments]``: whether the segment has at least one valid step.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.bool_]

    def batch(self, places: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float32]:
        """Clips by their positions, ``[positions, segments, dim]``."""
        return self.values[places]


def load_segments(store: FeatureStore, backbone: str, rows: ArrayLike | slice | None, *, segments: int) -> InMemory:
    """Read a backbone once, shard by shard, and average its steps within each segment.

    Args:
        store: to read.
        backbone: name of the feature array. Its steps must be a multiple of ``segments``, or equal to it.
        rows: as :meth:`FeatureStore.read` takes them.
        segments: of a clip.

    Raises:
        ValueError: If the steps cannot be divided evenly.
    """
    spec = store.spec(backbone)
    if spec.steps % segments:
        raise ValueError(f"{store.url}: {backbone} has {spec.steps} steps, which {segments} segments do not divide")
    wanted = store.row_numbers(rows)
    values = np.zeros((len(wanted), segments, spec.dim), dtype=np.float32)
    valid = np.zeros((len(wanted), segments), dtype=bool)
    order = np.argsort(wanted, kind="stable")  # by shard, so that each file is opened once
    for first in range(0, len(wanted), _BLOCK_ROWS):
        places = order[first : first + _BLOCK_ROWS]
        block, mask = store.read(backbone, wanted[places]), store.valid(backbone, wanted[places])
        values[places], valid[places] = average_segments(block, mask, segments)
    return InMemory(values, valid)


def average_segments(
    block: NDArray[np.float32], mask: NDArray[np.bool_], segments: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Means over the valid steps of each segment.

    Args:
        block: ``[clips, steps, dim]``.
        mask: ``[clips, steps]`` bool, the valid steps.
        segments: of a clip; they divide the steps evenly.

    Returns:
        ``[clips, segments, dim]`` float32, and ``[clips, segments]``: whether any step is valid.
    """
    rows, steps, dim = block.shape
    each = steps // segments
    if each == 1 and mask.all():
        return block.astype(np.float32, copy=False), mask
    grouped = block.reshape(rows, segments, each, dim)
    if mask.all():
        mean: NDArray[np.float32] = grouped.mean(axis=2, dtype=np.float32)
        return mean, np.ones((rows, segments), dtype=bool)
    weights = mask.reshape(rows, segments, each)
    counts = weights.sum(axis=2)
    filled = np.where(weights[..., None], grouped, np.float32(0))
    return filled.sum(axis=2, dtype=np.float32) / np.maximum(counts, 1)[..., None].astype(np.float32), counts > 0
