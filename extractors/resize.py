"""Pillow's resize of the part of a picture that is kept, to the last bit, compiled by numba.

Pillow resizes a whole picture, of which a centre crop then throws a third away. This runs the same two passes with the
same integer weights over the kept part only. Compiling takes a process about a second, so Pillow itself resizes the
first frames. The width comes first, as when the published features were made; Pillow 13 begins with the height where
that shrinks much more.

Measured against Pillow (27 November 2026, two cores with AVX2, ms a frame, ResNet's view): 1.2 of 2.6 at 480 x 360, 1.6
of 5.0 at 854 x 480; decoding as a whole would take 1.09 to 1.38 of its processor time. Pillow's ``resize(box=)`` is
not equal to resizing and cropping; resizing the width, cropping, then the height is, and costs 0.7 to 0.9 of Pillow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Interpolation = Literal["bilinear", "bicubic"]
Pixels = NDArray[np.uint8]

PILLOW_FIRST = 400
"""Frames that a process resizes with Pillow before it compiles: a short run never waits for the compiler."""
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_PRECISION_BITS = 22
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
_resized = 0


class Part(TypedDict):
    """The part of a resized picture that is kept.

    Attributes:
        top: first row kept.
        left: first column kept.
        rows: how many are kept.
        columns: how many are kept.
        interpolation: ``bilinear`` or ``bicubic``, both antialiased.
    """

    top: int
    left: int
    rows: int
    columns: int
    interpolation: Interpolation


def resize_part(image: Pixels, height: int, width: int, **part: Unpack[Part]) -> Pixels:
    """``resize`` and then ``crop``, as Pillow does them.

    Args:
        image: ``[height, width, 3]`` uint8 RGB.
        height: of the whole resized picture.
        width: of the whole resized picture.
        part: what is kept, see :class:`Part`.

    Returns:
        ``[rows, columns, 3]`` uint8.
    """
    global _resized
    inside = slice(part["top"], part["top"] + part["rows"]), slice(part["left"], part["left"] + part["columns"])
    if image.shape[:2] == (height, width):
        return image[inside]
    _resized += 1
    if _resized <= PILLOW_FIRST:
        method = _FILTERS[part["interpolation"]]
        # One pass at a time: Pillow 13 begins with the height where that shrinks much more, older ones never did.
        whole = np.asarray(
            Image.fromarray(image).resize((width, image.shape[0]), method).resize((width, height), method)
        )
        return whole[inside]
    return resize_compiled(image, height, width, **part)


def resize_compiled(image: Pixels, height: int, width: int, **part: Unpack[Part]) -> Pixels:
    """As :func:`resize_part`, always in compiled code."""
    rows, columns, interpolation = part["rows"], part["columns"], part["interpolation"]
    x_first, x_weights = _taps(image.shape[1], width, part["left"], columns, interpolation)
    y_first, y_weights = _taps(image.shape[0], height, part["top"], rows, interpolation)
    first, last = int(y_first.min()), int(y_first.max()) + y_weights.shape[1]
    needed = np.ascontiguousarray(image[first:last])
    middle, total = np.empty((last - first, columns * 3), dtype=np.uint8), np.empty(columns * 3, dtype=np.int32)
    out = np.empty((rows, columns * 3), dtype=np.uint8)
    # Unsigned positions: numba would look at every other one for a negative index.
    starts = (x_first * 3).astype(np.uint64), (y_first - first).astype(np.uint64)
    _kernel()(needed.reshape(-1), image.shape[1] * 3, starts[0], x_weights, starts[1], y_weights, middle, total, out)
    return out.reshape(rows, columns, 3)


@lru_cache(maxsize=64)
def _taps(
    source: int, target: int, start: int, count: int, interpolation: Interpolation
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Of some target positions along one axis: the first source position, and integer weights ``[count, taps]``.

    Source: Pillow's ``precompute_coeffs`` and ``normalize_coeffs_8bpc``.
    """
    if source == target:  # Pillow leaves this pass out
        ones = np.full((count, 1), 1 << _PRECISION_BITS, dtype=np.int32)
        return np.arange(start, start + count, dtype=np.int32), ones
    scale = source / target
    stretch = max(scale, 1.0)
    support = _SUPPORT[interpolation] * stretch
    taps = min(math.ceil(support) * 2 + 1, source)
    first, weights = np.zeros(count, dtype=np.int32), np.zeros((count, taps), dtype=np.int32)
    for row in range(count):
        center = (start + row + 0.5) * scale
        low = max(int(center - support + 0.5), 0)
        high = min(int(center + support + 0.5), source)
        found = [_weight((at - center + 0.5) / stretch, interpolation) for at in range(low, high)]
        total = sum(found)
        exact = [value / total * (1 << _PRECISION_BITS) for value in found]
        first[row] = min(low, source - taps)  # all taps lie inside the picture; those before ``low`` weigh 0
        shift = low - first[row]
        weights[row, shift : shift + len(exact)] = [int(value + (0.5 if value >= 0 else -0.5)) for value in exact]
    return first, weights


def _weight(x: float, interpolation: Interpolation) -> float:
    x = abs(x)
    if interpolation == "bilinear":
        return max(1.0 - x, 0.0)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


@cache
def _kernel() -> Callable[..., None]:
    """Both passes, compiled once and kept on disk where that is possible."""
    from numba import njit

    kernel: Callable[..., None]
    try:
        kernel = njit(cache=True, nogil=True)(_passes)
    except RuntimeError:  # no folder to keep it in, as in a read-only container: compiled anew in each process
        kernel = njit(nogil=True)(_passes)
    return kernel


def _passes(
    image: Any,
    pitch: int,
    x_first: Any,
    x_weights: Any,
    y_first: Any,
    y_weights: Any,
    middle: Any,
    total: Any,
    out: Any,
) -> None:
    """Along the rows into whole numbers of a byte, as Pillow, then along the columns.

    Args:
        image: all bytes of the rows that are needed, one after the other.
        pitch: bytes of a row.
        x_first: ``[columns]`` uint64, first byte of each target column in a row.
        x_weights: ``[columns, taps]``.
        y_first: ``[rows]`` uint64, first row of each target row.
        y_weights: ``[rows, taps]``.
        middle: ``[source rows, 3 * columns]``, to work in.
        total: ``[3 * columns]`` int32, to work in.
        out: ``[rows, 3 * columns]``.
    """
    one, half = np.uint64(1), np.int32(1 << 21)
    for row in range(middle.shape[0]):
        base = np.uint64(row) * np.uint64(pitch)
        for column in range(x_weights.shape[0]):
            red, green, blue = half, half, half
            at = base + x_first[column]
            for tap in range(x_weights.shape[1]):
                weight = x_weights[column, tap]
                red += np.int32(np.int32(image[at]) * weight)
                green += np.int32(np.int32(image[at + one]) * weight)
                blue += np.int32(np.int32(image[at + one + one]) * weight)
                at += np.uint64(3)
            middle[row, 3 * column] = min(max(red >> 22, 0), 255)
            middle[row, 3 * column + 1] = min(max(green >> 22, 0), 255)
            middle[row, 3 * column + 2] = min(max(blue >> 22, 0), 255)
    for row in range(out.shape[0]):
        total[:] = half
        for tap in range(y_weights.shape[1]):
            weight = y_weights[row, tap]
            source = middle[y_first[row] + np.uint64(tap)]
            for at in range(len(total)):
                total[at] += np.int32(np.int32(source[at]) * weight)
        for at in range(len(total)):
            out[row, at] = min(max(total[at] >> 22, 0), 255)
