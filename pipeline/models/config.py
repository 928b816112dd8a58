"""What a model is made of, as plain data: what a recipe's ``[model]`` table is read into."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from pipeline.models.decoders.class_enhancement import Variant
from pipeline.models.decoders.leap import BlockNorm, BlockOutput
from pipeline.models.encoders.han import Norm
from pipeline.models.localizers.pooling import PoolingName
from pipeline.models.predictions import UnionRule


@dataclass(frozen=True)
class HANConfig:
    """See :class:`pipeline.models.encoders.han.HANEncoder`."""

    name: Literal["han"] = "han"
    layers: int = 1
    heads: int = 1
    feed_forward: int = 512
    dropout: float = 0.1
    stacking: Literal["published", "stacked"] = "published"


@dataclass(frozen=True)
class MMPyrConfig:
    """See :class:`pipeline.models.encoders.mmpyr.MMPyrEncoder`."""

    name: Literal["mmpyr"] = "mmpyr"
    levels: int = 4
    heads: int = 8
    feed_forward: int = 512
    dropout: float = 0.2
    attention_dropout: float = 0.1


@dataclass(frozen=True)
class VALORConfig:
    """See :class:`pipeline.models.encoders.valor.VALOREncoder`."""

    name: Literal["valor"] = "valor"
    layers: int = 4
    heads: int = 8
    feed_forward: int = 1024
    dropout: float = 0.1
    norm: Norm = "post"


@dataclass(frozen=True)
class MMILConfig:
    """See :class:`pipeline.models.decoders.mmil.MMILDecoder`."""

    name: Literal["mmil"] = "mmil"


@dataclass(frozen=True)
class LEAPConfig:
    """See :class:`pipeline.models.decoders.leap.LEAPDecoder`."""

    name: Literal["leap"] = "leap"
    label_dim: int = 300
    blocks: int = 2
    heads: int = 8
    feed_forward: int = 512
    dropout: float = 0.2
    attention_dropout: float = 0.1
    output: BlockOutput = "last"
    norm: BlockNorm = "published"
    union: UnionRule = "hard"


@dataclass(frozen=True)
class AVEConfig:
    """See :class:`pipeline.models.encoders.ave.AVEEncoder`."""

    name: Literal["ave"] = "ave"
    hidden: int = 128


@dataclass(frozen=True)
class PSPConfig:
    """See :class:`pipeline.models.encoders.psp.PSPEncoder`."""

    name: Literal["psp"] = "psp"
    hidden: int = 128
    threshold: float = 0.095
    dropout: float = 0.1


@dataclass(frozen=True)
class CMBSConfig:
    """See :class:`pipeline.models.encoders.cmbs.CMBSEncoder`."""

    name: Literal["cmbs"] = "cmbs"
    dim: int = 256
    heads: int = 4
    encoder_feed_forward: int = 2048
    decoder_feed_forward: int = 1024
    dropout: float = 0.1
    alpha: float = 0.2
    beta: float = 0.5
    gamma: float = 0.5


@dataclass(frozen=True)
class MLPConfig:
    """See :class:`pipeline.models.localizers.scorers.MLPScorer`."""

    name: Literal["mlp"] = "mlp"
    hidden: int = 64
    bias: bool = True


EncoderConfig = HANConfig | MMPyrConfig | VALORConfig
DecoderConfig = MMILConfig | LEAPConfig
FusingEncoderConfig = AVEConfig | PSPConfig | CMBSConfig
ScorerConfig = MLPConfig | LEAPConfig


@dataclass(frozen=True)
class FeaturesConfig:
    """Which features a model reads.

    Attributes:
        audio_dim: of a step.
        visual_2d_dim: of a step.
        visual_3d_dim: of a step.
        audio_map: whether audio may come as CLAP's feature map of 64 steps.
    """

    audio_dim: int = 128
    visual_2d_dim: int = 2048
    visual_3d_dim: int = 512
    audio_map: bool = False


FEATURES = {
    "classic": FeaturesConfig(),
    "clap-clip": FeaturesConfig(audio_dim=768, visual_2d_dim=768, audio_map=True),
    "ave": FeaturesConfig(visual_2d_dim=25088, visual_3d_dim=0),
}
"""The published sets: VGGish, ResNet-152, R(2+1)D; CLAP, CLIP, R(2+1)D; and VGGish with VGG-19's maps."""


@dataclass(frozen=True)
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
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    width: int = 512
    classes: int = 25
    segments: int = 10


@dataclass(frozen=True)
class MMCSEConfig:
    """See :class:`pipeline.models.decoders.mmcse.MMCSE`; the rest as for :class:`ParserConfig`."""

    name: Literal["mmcse"] = "mmcse"
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    width: int = 256
    class_dim: int = 128
    layers: int = 4
    heads: int = 8
    feed_forward: int = 512
    dropout: float = 0.1
    reconstruct: bool = True
    secm: Variant = "published"
    lgsf: Variant = "published"
    classes: int = 25
    segments: int = 10


@dataclass(frozen=True)
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
    features: FeaturesConfig = FEATURES["ave"]
    positions: int = 49
    width: int = 256
    classes: int = 29
    segments: int = 10


ParsingConfig = ParserConfig | MMCSEConfig
ModelConfig = ParsingConfig | LocalizerConfig

_HAN = ParserConfig()
_MMPYR = ParserConfig(encoder=MMPyrConfig())
_AVE = LocalizerConfig()
_PSP = LocalizerConfig(encoder=PSPConfig(), decoder=MLPConfig(bias=False), pooling="gated_mean")
_CMBS = LocalizerConfig(encoder=CMBSConfig(), decoder=MLPConfig(hidden=0, bias=False), pooling="top")
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
}
"""Those of event localization, weak; ``leap-avel-…`` are our reading, see :mod:`pipeline.models.localizers.scorers`."""

SYSTEMS: dict[str, ModelConfig] = {**PARSERS, **LOCALIZERS}
"""All of them."""
