"""Windows of sound: another time grid than a step a second."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Windows:
    """Where an audio backbone looks: windows that begin a hop apart, the first with the clip.

    Attributes:
        window_seconds: length of each.
        hop_seconds: from the beginning of one to that of the next.
    """

    window_seconds: float
    hop_seconds: float

    @property
    def label(self) -> str:
        """As a backbone's name says it, such as ``0.96s/0.48s``: equal windows have one name."""
        return f"{_decimal(self.window_seconds)}s/{_decimal(self.hop_seconds)}s"

    def count(self, clip_seconds: int) -> int:
        """How many lie within a clip as a whole."""
        return math.floor((clip_seconds - self.window_seconds) / self.hop_seconds + 1e-9) + 1

    def starts_samples(self, clip_seconds: int, *, sample_rate_hz: int) -> NDArray[np.intp]:
        """The first sample of each, ``[windows]``."""
        starts = np.arange(self.count(clip_seconds)) * self.hop_seconds * sample_rate_hz
        return np.asarray(np.rint(starts), dtype=np.intp)


def _decimal(seconds: float) -> str:
    """A number without an exponent, whatever its size."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".")
