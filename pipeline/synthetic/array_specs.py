"""Arrays of made-up features: names, sizes and time grids, as the published ones have them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.dataset import CLIP_SECONDS
from storage.schema import FeatureSpec, Modality

ARRAYS: tuple[tuple[str, int, Modality], ...] = (
    ("vggish", 128, "audio"), ("resnet152", 2048, "visual"), ("r2plus1d_18", 512, "visual"),
)  # fmt: skip
"""Name, values a step and modality of those that are always made."""

MORE_ARRAYS: tuple[tuple[str, int, Modality], ...] = (("clap_map", 768, "audio"), ("clip_vit_l14", 768, "visual"))
"""The others that recipes read."""

_DESCRIPTION = "made-up features of made-up events"
_MAP_BINS, _MAP_TIMES = 2, 32
"""Frequencies and times of CLAP's map, which is stored row by row."""


def spec_of(name: str, dim: int, modality: Modality) -> FeatureSpec:
    """As the store describes an array: a step a second, or CLAP's map, which is on no time grid."""
    if name == "clap_map":
        return FeatureSpec(name, _MAP_BINS * _MAP_TIMES, dim, modality, None, description=_DESCRIPTION)
    return FeatureSpec(name, CLIP_SECONDS, dim, modality, 1.0, description=_DESCRIPTION)


def as_map(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[clips, segments, dim]`` as a map of 2 frequencies, each with 32 times of the clip: ``[clips, 64, dim]``."""
    segments = np.arange(_MAP_TIMES) * values.shape[1] // _MAP_TIMES
    return values[:, np.tile(segments, _MAP_BINS)]
