"""Builds a model from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, overload

from torch import nn

from pipeline.models.config import (
    DecoderConfig,
    EncoderConfig,
    FeaturesConfig,
    HANConfig,
    LEAPConfig,
    LocalizerConfig,
    MMCSEConfig,
    MMPyrConfig,
    ModelConfig,
    NoEncoderConfig,
    ParserConfig,
    ParsingConfig,
)
from pipeline.models.config_tables import model_config
from pipeline.models.decoders.leap import LEAPDecoder
from pipeline.models.decoders.mmcse import MMCSE
from pipeline.models.decoders.mmil import MMILDecoder
from pipeline.models.encoders.ave import AVEEncoder
from pipeline.models.encoders.cmbs import CMBSEncoder
from pipeline.models.encoders.cmbs_supervised import CMBSSupervisedEncoder
from pipeline.models.encoders.dmrn import DMRNEncoder
from pipeline.models.encoders.han import HANEncoder
from pipeline.models.encoders.mmpyr import MMPyrEncoder
from pipeline.models.encoders.psp import PSPEncoder
from pipeline.models.encoders.psp_supervised import PSPSupervisedEncoder
from pipeline.models.encoders.valor import VALOREncoder
from pipeline.models.input_projection import CLAP_GRID, InputProjection
from pipeline.models.localizer_parts import (
    AVEConfig,
    CMBSSupervisedConfig,
    DMRNConfig,
    MLPConfig,
    PSPConfig,
    PSPSupervisedConfig,
)
from pipeline.models.localizers.localization import Localizer
from pipeline.models.localizers.pooling import make_pooling
from pipeline.models.localizers.scorers import LEAPScorer, MLPScorer
from pipeline.models.parser import Parser
from storage.errors import InvalidInput

FusingEncoder = AVEEncoder | DMRNEncoder | PSPEncoder | PSPSupervisedEncoder | CMBSEncoder | CMBSSupervisedEncoder
_GATED = {"top": "cmbs", "event": "cmbs-supervised"}
"""By pooling, the encoder that has its gates."""


@overload
def build_model(config: ParsingConfig) -> Parser | MMCSE: ...


@overload
def build_model(config: ModelConfig | Mapping[str, Any]) -> Parser | MMCSE | Localizer: ...


def build_model(config: ModelConfig | Mapping[str, Any]) -> Parser | MMCSE | Localizer:
    """Build a model with fresh weights, in training mode.

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


def _build(config: ModelConfig) -> Parser | MMCSE | Localizer:
    if isinstance(config, LocalizerConfig):
        return _localizer(config)
    input_projection = _input_projection(config.features, width=config.width, segments=config.segments)
    if isinstance(config, MMCSEConfig):
        return MMCSE(
            input_projection,
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
            decoupling=config.decoupling,
            intra=config.intra,
            cross=config.cross,
            encoder=None if isinstance(config.encoder, NoEncoderConfig) else _encoder(config.encoder, config.width),
        )
    return Parser(input_projection, _encoder(config.encoder, config.width), _decoder(config.decoder, config))


def _input_projection(features: FeaturesConfig, *, width: int, segments: int) -> InputProjection:
    return InputProjection(
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


def _localizer(config: LocalizerConfig) -> Localizer:
    dim, positions = config.features.visual_2d_dim, config.positions
    if not positions or dim % positions:
        raise ValueError(f"visual_2d has {dim} values a step, which {positions} positions do not divide")
    _check_pooling(config)
    channels = dim // positions
    encoder = _fusing_encoder(config, channels)
    gamma = config.encoder.gamma if isinstance(config.encoder, CMBSSupervisedConfig) else 0.0
    pooling = make_pooling(config.pooling, classes=config.classes, gamma=gamma)
    scorer = _scorer(config, encoder.dim)
    return Localizer(encoder, scorer, pooling, segments=config.segments, positions=positions, channels=channels)


def _check_pooling(config: LocalizerConfig) -> None:
    name, needed = config.encoder.name, _GATED.get(config.pooling, config.encoder.name)
    if name != needed:
        raise ValueError(f"pooling {config.pooling} needs the gates of {needed}; {name} has none")
    over_video = isinstance(config.decoder, MLPConfig) and config.decoder.over == "video"
    if config.pooling != "event" and (over_video or isinstance(config.encoder, CMBSSupervisedConfig)):
        what = "decoder.over = video" if over_video else f"encoder {name}"
        raise ValueError(f"{what} needs pooling event, got {config.pooling}")


def _fusing_encoder(config: LocalizerConfig, channels: int) -> FusingEncoder:
    given, options = config.encoder, _options(config.encoder)
    sizes, positions = (config.features.audio_dim, channels), config.positions
    if isinstance(given, AVEConfig):
        return AVEEncoder(*sizes, positions=positions, **options)
    if isinstance(given, DMRNConfig):
        return DMRNEncoder(*sizes, positions=positions, **options)
    if isinstance(given, PSPConfig):
        return PSPEncoder(*sizes, positions=positions, **options)
    if isinstance(given, PSPSupervisedConfig):
        return PSPSupervisedEncoder(*sizes, positions=positions, **options)
    if isinstance(given, CMBSSupervisedConfig):
        del options["gamma"]  # of the pooling
        return CMBSSupervisedEncoder(*sizes, events=config.classes - 1, **options)
    return CMBSEncoder(*sizes, classes=config.classes, **options)


def _scorer(config: LocalizerConfig, dim: int) -> MLPScorer | LEAPScorer:
    options = _options(config.decoder)
    if isinstance(config.decoder, LEAPConfig):
        del options["union"]  # there is no second stream to unite with
        return LEAPScorer(dim, classes=config.classes, width=config.width, **options)
    classes = config.classes - 1 if config.pooling == "event" else config.classes
    return MLPScorer(dim, classes=classes, **options)


def _options(config: Any) -> dict[str, Any]:
    options = asdict(config)
    del options["name"]
    return options
