"""Configurations of models: the types of a recipe's ``[model]`` table."""

from __future__ import annotations

from dataclasses import field, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from pipeline.models.decoders.class_decoupling import Decoupling
from pipeline.models.decoders.class_enhancement import PathParts, Variant
from pipeline.models.decoders.leap import BlockNorm, BlockOutput
from pipeline.models.encoders.han import Norm
from pipeline.models.localizer_parts import (
    AVEConfig,
    CMBSConfig,
    CMBSSupervisedConfig,
    DMRNConfig,
    MLPConfig,
    PSPConfig,
    PSPSupervisedConfig,
)
from pipeline.models.localizers.pooling import PoolingName
from pipeline.models.predictions import UnionRule
from pipeline.toml_tables import FORBID_EXTRA, Count, CountOrZero, Flag, Fraction, did_you_mean


@dataclass(frozen=True, config=FORBID_EXTRA)
class HANConfig:
    """See :class:`pipeline.models.encoders.han.HANEncoder`."""

    name: Literal["han"] = "han"
    layers: Count = 1
    heads: Count = 1
    feed_forward: Count = 512
    dropout: Fraction = 0.1
    stacking: Literal["published", "stacked"] = "published"


@dataclass(frozen=True, config=FORBID_EXTRA)
class MMPyrConfig:
    """See :class:`pipeline.models.encoders.mmpyr.MMPyrEncoder`."""

    name: Literal["mmpyr"] = "mmpyr"
    levels: Count = 4
    heads: Count = 8
    feed_forward: Count = 512
    dropout: Fraction = 0.2
    attention_dropout: Fraction = 0.1


@dataclass(frozen=True, config=FORBID_EXTRA)
class VALORConfig:
    """See :class:`pipeline.models.encoders.valor.VALOREncoder`."""

    name: Literal["valor"] = "valor"
    layers: Count = 4
    heads: Count = 8
    feed_forward: Count = 1024
    dropout: Fraction = 0.1
    norm: Norm = "post"


@dataclass(frozen=True, config=FORBID_EXTRA)
class NoEncoderConfig:
    """Streams as the input projection gives them."""

    name: Literal["none"] = "none"


@dataclass(frozen=True, config=FORBID_EXTRA)
class MMILConfig:
    """See :class:`pipeline.models.decoders.mmil.MMILDecoder`."""

    name: Literal["mmil"] = "mmil"


@dataclass(frozen=True, config=FORBID_EXTRA)
class LEAPConfig:
    """See :class:`pipeline.models.decoders.leap.LEAPDecoder`."""

    name: Literal["leap"] = "leap"
    label_dim: CountOrZero = 300
    blocks: Count = 2
    heads: Count = 8
    feed_forward: Count = 512
    dropout: Fraction = 0.2
    attention_dropout: Fraction = 0.1
    output: BlockOutput = "last"
    norm: BlockNorm = "published"
    union: UnionRule = "hard"


@dataclass(frozen=True, config=FORBID_EXTRA)
class FeaturesConfig:
    """Which features a model reads.

    Attributes:
        audio_dim: of a step.
        visual_2d_dim: of a step.
        visual_3d_dim: of a step.
        audio_map: whether audio may come as CLAP's feature map of 64 steps.
    """

    audio_dim: Count = 128
    visual_2d_dim: Count = 2048
    visual_3d_dim: CountOrZero = 512
    audio_map: Flag = False


FEATURES = {
    "classic": FeaturesConfig(),
    "clap-clip": FeaturesConfig(audio_dim=768, visual_2d_dim=768, audio_map=True),
    "ave": FeaturesConfig(visual_2d_dim=25088, visual_3d_dim=0),
}
"""The published sets: VGGish, ResNet-152, R(2+1)D; CLAP, CLIP, R(2+1)D; and VGGish with VGG-19's maps."""


def _table_of_name(value: Any) -> Any:
    """A name alone stands for a table with that name."""
    return {"name": value} if isinstance(value, str) else value


def _features_of_name(value: Any) -> Any:
    if isinstance(value, FeaturesConfig | dict):
        return value
    if isinstance(value, str) and value in FEATURES:
        return FEATURES[value]
    near = did_you_mean(value, FEATURES)
    raise ValueError(f"expected a table, or one of {', '.join(FEATURES)}, got {value!r}{near and '.'}{near}")


_ByName = (BeforeValidator(_table_of_name), Field(discriminator="name"))
EncoderConfig = Annotated[HANConfig | MMPyrConfig | VALORConfig, *_ByName]
FrontConfig = Annotated[NoEncoderConfig | HANConfig | MMPyrConfig | VALORConfig, *_ByName]
DecoderConfig = Annotated[MMILConfig | LEAPConfig, *_ByName]
FusingEncoderConfig = Annotated[
    AVEConfig | PSPConfig | CMBSConfig | DMRNConfig | PSPSupervisedConfig | CMBSSupervisedConfig, *_ByName
]
ScorerConfig = Annotated[MLPConfig | LEAPConfig, *_ByName]
NamedFeatures = Annotated[FeaturesConfig, BeforeValidator(_features_of_name)]


@dataclass(frozen=True, config=FORBID_EXTRA)
class ParserConfig:
    """An encoder and a decoder.

    Attributes:
        encoder: by ``name``.
        decoder: by ``name``.
        features: what comes in; by a name of :data:`FEATURES` or in full.
        width: of the streams.
        classes: how many.
        segments: of a clip.
    """

    name: Literal["parser"] = "parser"
    encoder: EncoderConfig = field(default_factory=HANConfig)
    decoder: DecoderConfig = field(default_factory=MMILConfig)
    features: NamedFeatures = field(default_factory=FeaturesConfig)
    width: Count = 512
    classes: Count = 25
    segments: Count = 10


@dataclass(frozen=True, config=FORBID_EXTRA)
class MMCSEConfig:
    """See :class:`pipeline.models.decoders.mmcse.MMCSE`; the rest as for :class:`ParserConfig`.

    ``encoder`` stands between the input projection and the decouplers: ``none``, as published, or one of a parser's.
    """

    name: Literal["mmcse"] = "mmcse"
    encoder: FrontConfig = field(default_factory=NoEncoderConfig)
    features: NamedFeatures = field(default_factory=FeaturesConfig)
    width: Count = 256
    class_dim: Count = 128
    layers: Count = 4
    heads: Count = 8
    feed_forward: Count = 512
    dropout: Fraction = 0.1
    reconstruct: Flag = True
    secm: Variant = "published"
    lgsf: Variant = "published"
    decoupling: Decoupling = "classes_and_background"
    intra: PathParts = "secm_and_lgsf"
    cross: PathParts = "secm_and_lgsf"
    classes: Count = 25
    segments: Count = 10

    @property
    def as_published(self) -> bool:
        """Whether the published code has these modules, at any size."""
        standard = MMCSEConfig()
        names = ("encoder", "secm", "lgsf", "decoupling", "intra", "cross")
        return all(getattr(self, name) == getattr(standard, name) for name in names)


@dataclass(frozen=True, config=FORBID_EXTRA)
class LocalizerConfig:
    """An encoder of fused segments, a scorer and a pooling: :class:`pipeline.models.localizers.localization.Localizer`.

    Attributes:
        encoder: by ``name``.
        decoder: the scorer, by ``name``.
        pooling: see :mod:`pipeline.models.localizers.pooling`.
        features: what comes in; ``visual_2d`` is a grid, ``visual_3d`` is not read.
        positions: of the grid.
        width: of LEAP's blocks.
        classes: with the background.
        segments: of a clip.
    """

    name: Literal["localizer"] = "localizer"
    encoder: FusingEncoderConfig = field(default_factory=AVEConfig)
    decoder: ScorerConfig = field(default_factory=MLPConfig)
    pooling: PoolingName = "max"
    features: NamedFeatures = FEATURES["ave"]
    positions: Count = 49
    width: Count = 256
    classes: Count = 29
    segments: Count = 10


ParsingConfig = ParserConfig | MMCSEConfig
ModelConfig = ParsingConfig | LocalizerConfig

_HAN = ParserConfig()
_MMPYR = ParserConfig(encoder=MMPyrConfig())
_AVE = LocalizerConfig()
_PSP = LocalizerConfig(encoder=PSPConfig(), decoder=MLPConfig(bias=False), pooling="gated_mean")
_CMBS = LocalizerConfig(encoder=CMBSConfig(), decoder=MLPConfig(hidden=0, bias=False), pooling="top")
_PSP_SUPERVISED = LocalizerConfig(encoder=PSPSupervisedConfig(), decoder=MLPConfig(bias=False))
_CMBS_SUPERVISED = LocalizerConfig(
    encoder=CMBSSupervisedConfig(), decoder=MLPConfig(hidden=0, over="video"), pooling="event"
)
_LEAP_AVEL = LEAPConfig(feed_forward=256)
_VALOR_PLUS = ParserConfig(encoder=VALORConfig(), width=256)
PARSERS: dict[str, ParsingConfig] = {
    "han": _HAN,
    "mmpyr": _MMPYR,
    "valor": ParserConfig(encoder=VALORConfig(layers=1)),
    "valor-plus": _VALOR_PLUS,
    "valor-plusplus": replace(_VALOR_PLUS, features=FEATURES["clap-clip"]),
    "leap-mmpyr": replace(_MMPYR, decoder=LEAPConfig()),
    "leap-han": replace(_HAN, decoder=LEAPConfig()),
    "mmcse": MMCSEConfig(),
    "mmcse-clap-clip": MMCSEConfig(features=FEATURES["clap-clip"]),
}
"""The published systems of video parsing, as published."""

LOCALIZERS: dict[str, LocalizerConfig] = {
    "avel-ave": _AVE,
    "avel-psp": _PSP,
    "avel-cmbs": _CMBS,
    "leap-avel-ave": replace(_AVE, decoder=_LEAP_AVEL),
    "leap-avel-psp": replace(_PSP, decoder=_LEAP_AVEL),
    "leap-avel-cmbs": replace(_CMBS, decoder=_LEAP_AVEL),
    "avel-ave-supervised": _AVE,
    "avel-dmrn": LocalizerConfig(encoder=DMRNConfig(), decoder=MLPConfig(hidden=0, start="xavier")),
    "avel-psp-supervised": _PSP_SUPERVISED,
    "avel-cmbs-supervised": _CMBS_SUPERVISED,
    "leap-avel-ave-supervised": replace(_AVE, decoder=_LEAP_AVEL),
    "leap-avel-psp-supervised": replace(_PSP_SUPERVISED, decoder=_LEAP_AVEL),
    "leap-avel-cmbs-supervised": replace(_CMBS_SUPERVISED, decoder=_LEAP_AVEL),
}
"""Those of event localization, weakly and fully supervised; ``leap-avel-…`` are our reading, see
:mod:`pipeline.models.localizers.scorers`."""

SYSTEMS: dict[str, ModelConfig] = {**PARSERS, **LOCALIZERS}
"""All of them."""

OFFICIAL: dict[str, ModelConfig] = {
    **PARSERS, **{name: config for name, config in LOCALIZERS.items() if isinstance(config.decoder, MLPConfig)},
}  # fmt: skip
"""Those whose published checkpoints are loaded, see :mod:`pipeline.models.official.loading`."""
