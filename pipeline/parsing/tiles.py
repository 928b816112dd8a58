"""Cuts a file into tiles that are decoded once, and into overlapping windows that a model parses.

A tile is a clip of a store: the features of its seconds. A window is put together from the seconds of one tile or two,
so that overlapping windows cost no second decode. Pure arithmetic on whole seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from extractors.base import MIN_SEGMENT_COVER

_LEAST_SECONDS = 2
"""A tile at the end of a file holds so much at least: the decoder takes no clip of less than a second."""


@dataclass(frozen=True)
class Cut:
    """How a file is cut.

    Attributes:
        seconds: of the file; the last one counts if the file covers at least half of it.
        window: length of a window and of a tile, in seconds.
        tiles: where each tile begins, in seconds.
        windows: where each window begins, in seconds.
    """

    seconds: int
    window: int
    tiles: tuple[int, ...]
    windows: tuple[int, ...]

    def places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Tile and second within it of each second of the file, ``[seconds]`` each."""
        at = np.arange(self.seconds)
        tile = np.searchsorted(self.tiles, at, side="right") - 1
        # The last tile may begin early: its second comes from the one before, which is whole.
        tile = np.where((tile > 0) & (at < np.asarray(self.tiles)[tile - 1] + self.window), tile - 1, tile)
        return tile.astype(np.intp), (at - np.asarray(self.tiles)[tile]).astype(np.intp)


def whole_seconds(duration_seconds: float) -> int:
    """Seconds of a file: the last one counts if at least half of it is there; 1 at least."""
    return max(1, math.floor(duration_seconds + 1 - MIN_SEGMENT_COVER))


def cut(duration_seconds: float, *, window: int, hop: int, tiled: bool = True) -> Cut:
    """Cut a file.

    Args:
        duration_seconds: of the file.
        window: length of a window, in seconds.
        hop: between the beginnings of two windows; at most a window.
        tiled: whether windows can be put together from tiles; if not, each window is a tile of its own.

    Raises:
        ValueError: If the hop leaves gaps between windows.
    """
    if not 1 <= hop <= window:
        raise ValueError(f"hop {hop}: expected 1 to {window} seconds")
    seconds = whole_seconds(duration_seconds)
    count = max(0, math.ceil((seconds - window) / hop)) + 1
    windows = tuple(range(0, count * hop, hop))
    if not tiled:
        return Cut(seconds, window, windows, windows)
    tiles = [*range(0, seconds, window)]
    if len(tiles) > 1:
        tiles[-1] = min(tiles[-1], seconds - min(_LEAST_SECONDS, window))
    return Cut(seconds, window, tuple(tiles), windows)
