"""What the published code of a configuration costs: dead weights, and operations that ours saves."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from pipeline.models.config import (
    HANConfig,
    LEAPConfig,
    LocalizerConfig,
    MMCSEConfig,
    MMPyrConfig,
    ModelConfig,
    ParserConfig,
)
from pipeline.models.input_projection import CLAP_GRID
from pipeline.models.official.loading import official_layout

PAPERS = {
    "leap-mmpyr": "52.01 M parameters, 791 M FLOPs; decoder 7.89 M, 146 M",
    "valor-plus": "5.05 M parameters, 0.45 G FLOPs, as MM-CSE reports VALOR",
    "mmcse": "4.49 M parameters, 0.80 G FLOPs, without the reconstruction decoders",
}
"""What the papers say, by system."""

FRAMES_A_SEGMENT = 8
"""Frames of ResNet-152 that published loaders give for a segment."""

_STRETCHED = 2048
"""Positions of CLAP's map after the published interpolation, 2 bins of 1,024 times."""
_DECODER = "AVL."
"""How the names of LEAP's published decoder begin; the labels' projection and the video heads stand outside it."""


@dataclass(frozen=True)
class PublishedCost:
    """Cost of the published code in a configuration.

    Attributes:
        parameters: dead weights included.
        saved: operations that the published code computes and ours does not, in all.
        decoder_parameters: LEAP: of the decoder, dead weights included; else 0.
        decoder_saved: LEAP: the part of ``saved`` that falls to the decoder; else 0.
    """

    parameters: int
    saved: int
    decoder_parameters: int = 0
    decoder_saved: int = 0


def published_cost(config: ModelConfig) -> PublishedCost | None:
    """Cost of the published code; ``None`` for options that no published code has, and for localizers."""
    if isinstance(config, LocalizerConfig):
        return None
    if isinstance(config, MMCSEConfig):
        if not config.as_published:
            return None
        return PublishedCost(official_layout(config).parameters(), _projection(config) + _background(config))
    if not _is_published(config):
        return None
    layers = config.encoder.layers if isinstance(config.encoder, HANConfig) else 1
    layout = official_layout(config, han_layers=layers)
    sizes = [prod(shape) for name, shape in layout.shapes.items() if name.startswith(_DECODER)]
    decoder = _keys(config)
    saved = _projection(config) + _level_sum(config) + decoder
    return PublishedCost(layout.parameters(), saved, sum(sizes), decoder)


def _is_published(config: ParserConfig) -> bool:
    if isinstance(config.encoder, HANConfig) and config.encoder.stacking == "stacked":
        return False
    decoder = config.decoder
    if not isinstance(decoder, LEAPConfig):
        return True
    return decoder.norm == "published" and decoder.output == "last" and decoder.label_dim > 0


def _projection(config: ParserConfig | MMCSEConfig) -> int:
    """Frames, and positions of CLAP's stretched map, are projected and then averaged; ours averages first."""
    features, width, segments = config.features, config.width, config.segments
    if not features.audio_map:
        return (FRAMES_A_SEGMENT - 1) * segments * features.visual_2d_dim * width
    pooling = segments * CLAP_GRID[0] * CLAP_GRID[1] * features.audio_dim
    return (_STRETCHED - segments) * features.audio_dim * width - pooling


def _level_sum(config: ParserConfig) -> int:
    """MM-Pyramid: the weighted sum over levels is a matrix product."""
    if not isinstance(config.encoder, MMPyrConfig):
        return 0
    return 2 * config.segments * config.encoder.levels * config.width


def _keys(config: ParserConfig) -> int:
    """LEAP: the second attention of the last block computes its keys again, for both streams."""
    return 2 * config.segments * config.width**2 if isinstance(config.decoder, LEAPConfig) else 0


def _background(config: MMCSEConfig) -> int:
    """MM-CSE: the background is multiplied once a class, for both streams."""
    return 2 * config.segments * (config.classes - 1) * config.class_dim**2
