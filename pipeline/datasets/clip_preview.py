"""Reads the kept previews of consecutive clips of one file as the strip and the envelope of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import InvalidInput
from storage.store import FeatureStore

MOST_THUMBNAILS = 720
"""Of a longer file, every second, third and so on is read: pages and memory do not grow with it."""


@dataclass(frozen=True, eq=False)
class Preview:
    """What a file looks and sounds like.

    Attributes:
        thumbnails: seconds on the file's clock and ``[height, width, 3]`` uint8 RGB, in order.
        envelope: ``[steps, 2]`` float32, lowest and highest sample of each step; NaN where there is no sound.
        step_seconds: length of a step.
    """

    thumbnails: tuple[tuple[float, NDArray[np.uint8]], ...]
    envelope: NDArray[np.float32]
    step_seconds: float


def read_preview(store: FeatureStore, rows: Sequence[int], *, most: int = MOST_THUMBNAILS) -> Preview:
    """Read what ``--keep preview`` stored of clips that one file was cut into.

    Args:
        store: where row ``i`` begins at ``store.clips[i].start_seconds`` of the file.
        rows: in the order of their starts; they may overlap, and each second is read once.
        most: thumbnails to read at most.

    Raises:
        InvalidInput: If the store keeps no previews.
    """
    if absent := {"thumbnails", "envelope"} - set(store.decoded):
        raise InvalidInput(f"{store.url}: keeps no {min(absent)}. Make it with avvp extract --keep preview")
    return Preview(tuple(_thumbnails(store, rows, most)), *_envelope(store, rows))


def read_clip_preview(store: FeatureStore, row: int) -> Preview:
    """The preview of one clip, on its own clock; errors as for :func:`read_preview`."""
    found, start = read_preview(store, [row]), store.clips[row].start_seconds
    thumbnails = tuple((second - start, pixels) for second, pixels in found.thumbnails)
    return Preview(thumbnails, found.envelope[round(start / found.step_seconds) :], found.step_seconds)


def _thumbnails(store: FeatureStore, rows: Sequence[int], most: int) -> list[tuple[float, NDArray[np.uint8]]]:
    places = _seconds_of(store, rows)
    stride = -(-len(places) // most)
    chosen: dict[int, list[tuple[float, int]]] = {}
    for number, (second, (row, at)) in enumerate(places.items()):
        if number % stride == 0:
            chosen.setdefault(row, []).append((second, at))
    found = []
    for row, seconds in chosen.items():
        canvases, sizes = (_row(store, "thumbnails", row, part) for part in ("", "size"))
        for second, at in seconds:
            height, width = sizes[at].tolist()
            found.append((second, canvases[at, :height, :width].copy()))
    return found


def _seconds_of(store: FeatureStore, rows: Sequence[int]) -> dict[float, tuple[int, int]]:
    """For each second that has a picture, a row and the place in it, in order."""
    committed = store.committed("decoded.thumbnails")
    places: dict[float, tuple[int, int]] = {}
    for row in rows:
        if committed[row]:
            for at in np.flatnonzero(_row(store, "thumbnails", row, "valid")).tolist():
                places.setdefault(store.clips[row].start_seconds + at, (row, at))
    return dict(sorted(places.items()))


def _envelope(store: FeatureStore, rows: Sequence[int]) -> tuple[NDArray[np.float32], float]:
    """The steps of all rows on the file's clock, and the length of one."""
    rate = int(store.decoded_spec("envelope").facts["steps_per_second"])
    committed = store.committed("decoded.envelope")
    blocks = []
    for row in rows:
        heard = int(_row(store, "envelope", row, "steps")) if committed[row] else 0
        if heard:
            blocks.append((round(store.clips[row].start_seconds * rate), _row(store, "envelope", row)[:heard]))
    whole = np.full((max((start + len(block) for start, block in blocks), default=0), 2), np.nan, dtype=np.float32)
    for start, block in reversed(blocks):  # what the first of two rows says of a second stays
        whole[start : start + len(block)] = block
    return whole, 1 / rate


def _row(store: FeatureStore, name: str, row: int, companion: str = "") -> NDArray[Any]:
    block: NDArray[Any] = store.kept(name, range(row, row + 1), companion)[0]
    return block
