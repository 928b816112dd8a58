"""Resamples to 16 kHz as the papers did: the arithmetic of moviepy 1.0.3 on 44.1 kHz stereo."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PUBLISHED_RATE_HZ = 16_000
"""The rate at which the papers' scripts took sound from moviepy."""
MOVIEPY_RATE_HZ = 44_100
_LARGEST = int(32768 * 0.99)


def as_moviepy(stereo: NDArray[np.int16], total: int) -> NDArray[np.float32]:
    """What moviepy 1.0.3 writes at 16 kHz, read back and mixed to mono.

    Args:
        stereo: ``[samples, 2]`` at 44.1 kHz.
        total: samples wanted.

    Returns:
        ``[samples]`` float32, at most ``total``.

    Source: SPEC section 2: nearest source sample, no low-pass, cut at 0.99, truncated to 16 bits.
    """
    nearest = _nearest(total)
    picked = stereo[nearest[: np.searchsorted(nearest, len(stereo))]]
    # Cut at 0.99 and truncated to 16 bits: 32440 of 32768, in either direction.
    stored = np.clip(picked, -_LARGEST, _LARGEST)
    # The sum of two is exact in float32, and so is a division by a power of two.
    mono: NDArray[np.float32] = (stored[:, 0].astype(np.float32) + stored[:, 1]) * np.float32(1 / 65536)
    return mono


@lru_cache(maxsize=4)
def _nearest(total: int) -> NDArray[np.int64]:
    """Source sample of each sample that moviepy writes, in its order of operations, which decides the ties."""
    nearest: NDArray[np.int64] = np.round(MOVIEPY_RATE_HZ * ((1.0 / PUBLISHED_RATE_HZ) * np.arange(total))).astype(
        np.int64
    )
    return nearest
