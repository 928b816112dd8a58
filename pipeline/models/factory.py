"""From a configuration to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import nn

from pipeline.models.config import (
    DecoderConfig,
    EncoderConfig,
    FeaturesConfig,
    HANConfig,
    LEAPConfig,
    MMCSEConfig,
    MMPyrConfig,
    ModelConfig,
    ParserConfig,
)
from pipeline.models.config_tables import model_config
from pipeline.models.front_end import CLAP_GRID, FrontEnd
from pipeline.models.han import HANEncoder
from pipeline.models.leap import LEAPDecoder
from pipeline.models.mmcse import MMCSE
from pipeline.models.mmil import MMILDecoder
from pipeline.models.mmpyr import MMPyrEncoder
from pipeline.models.parser import Parser
from pipeline.models.valor import VALOREncoder
from storage.errors import InvalidInput


def build_model(config: ModelConfig | Mapping[str, Any]) -> Parser | MMCSE:
    """Make a model with fresh weights, in training mode.

    Args:
        config: a configuration, or a recipe's ``[model]`` table, see
            :func:`pipeline.models.config_tables.model_config`.

    Raises:
        InvalidInput: If the configuration is malformed or its numbers do not fit each other.
    """
    if isinstance(config, Mapping):
        config = model_config(config)
    try:
        return _build(config)
    except ValueError as error:
        raise InvalidInput(f"model: {error}") from None


def _build(config: ModelConfig) -> Parser | MMCSE:
    front_end = _front_end(config.features, width=config.width, segments=config.segments)
    if isinstance(config, MMCSEConfig):
        return MMCSE(
            front_end,
            config.width,
            class_dim=config.class_dim,
            classes=config.classes,
            layers=config.layers,
            heads=config.heads,
            feed_forward=config.feed_forward,
            dropout=config.dropout,
            reconstruct=config.reconstruct,
            secm=config.secm,
            lgsf=config.lgsf,
        )
    return Parser(front_end, _encoder(config.encoder, config.width), _decoder(config.decoder, config))


def _front_end(features: FeaturesConfig, *, width: int, segments: int) -> FrontEnd:
    return FrontEnd(
        width,
        segments=segments,
        audio_dim=features.audio_dim,
        visual_2d_dim=features.visual_2d_dim,
        visual_3d_dim=features.visual_3d_dim,
        audio_grid=CLAP_GRID if features.audio_map else None,
    )


def _encoder(config: EncoderConfig, width: int) -> nn.Module:
    if isinstance(config, HANConfig):
        return HANEncoder(width, **_options(config))
    if isinstance(config, MMPyrConfig):
        return MMPyrEncoder(width, **_options(config))
    return VALOREncoder(width, **_options(config))


def _decoder(config: DecoderConfig, model: ParserConfig) -> nn.Module:
    if isinstance(config, LEAPConfig):
        return LEAPDecoder(model.width, classes=model.classes, **_options(config))
    return MMILDecoder(model.width, classes=model.classes)


def _options(config: Any) -> dict[str, Any]:
    options = asdict(config)
    del options["name"]
    return options
