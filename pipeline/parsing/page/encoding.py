"""Encodes pictures, envelopes and probabilities so that a page of many minutes stays small."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.clip_preview import Preview

_FEW = 60
"""Up to so many thumbnails keep their full size."""
_LARGE, _SMALL = (90, 80), (54, 65)
"""Height in pixels and JPEG quality of few thumbnails, and of many: 1 to 2 kB each there."""
_MOST_STEPS = 20_000
_SILENT_PEAK = 1e-4
_LOUDEST, _NO_SOUND = 127, -128
_PARTS = 10_000


@dataclass(frozen=True)
class Strip:
    """Thumbnails as text.

    Attributes:
        pictures: seconds, and a JPEG in base64.
        aspect: width by height of the first.
    """

    pictures: tuple[tuple[float, str], ...]
    aspect: float


@dataclass(frozen=True)
class Wave:
    """An envelope as text.

    Attributes:
        levels: in base64, lowest and highest of each step as int8, -127 to 127 of the peak; -128 where there is no
            sound.
        step_seconds: length of a step.
        peak: largest magnitude.
    """

    levels: str
    step_seconds: float
    peak: float


def encode_strip(preview: Preview) -> Strip:
    """JPEGs of the thumbnails, smaller ones where there are many."""
    height, quality = _LARGE if len(preview.thumbnails) <= _FEW else _SMALL
    pictures = tuple((second, _jpeg(pixels, height, quality)) for second, pixels in preview.thumbnails)
    shapes = [pixels.shape for _, pixels in preview.thumbnails[:1]]
    return Strip(pictures, shapes[0][1] / shapes[0][0] if shapes else 16 / 9)


def encode_wave(preview: Preview) -> Wave:
    """The envelope in two bytes a step; neighbouring steps are joined where there are very many."""
    joined = math.ceil(len(preview.envelope) / _MOST_STEPS) or 1
    steps = _joined(preview.envelope, joined)
    heard = ~np.isnan(steps).any(axis=1)
    peak = float(np.abs(steps[heard]).max()) if heard.any() else 0.0
    levels = np.full(steps.shape, _NO_SOUND, dtype=np.int8)
    levels[heard] = np.rint(steps[heard] / max(peak, _SILENT_PEAK) * _LOUDEST).astype(np.int8)
    return Wave(base64.b64encode(levels.tobytes()).decode(), preview.step_seconds * joined, peak)


def encode_probabilities(grid: NDArray[np.float32]) -> list[list[int | None]]:
    """Ten-thousandths by class and segment; ``None`` for segments that were not looked at.

    Args:
        grid: ``[segments, classes]``.
    """
    known = ~np.isnan(grid)
    parts = np.rint(np.where(known, grid, 0) * _PARTS).astype(np.int64)
    return [
        [int(part) if there else None for part, there in zip(column, present, strict=True)]
        for column, present in zip(parts.T.tolist(), known.T.tolist(), strict=True)
    ]


def _joined(envelope: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The envelope of every ``count`` steps together; a group has no sound where none of its steps has."""
    if count == 1:
        return envelope
    starts = np.arange(0, len(envelope), count)
    low, high = np.fmin.reduceat(envelope[:, 0], starts), np.fmax.reduceat(envelope[:, 1], starts)
    return np.stack([low, high], axis=1)


def _jpeg(pixels: NDArray[np.uint8], height: int, quality: int) -> str:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    if image.height > height:
        image = image.resize((max(1, round(image.width * height / image.height)), height), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=quality, optimize=True)
    return base64.b64encode(stream.getvalue()).decode()
