"""Configurations of the localizers' encoders and of their own classifiers."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from pipeline.models.localizers.scorers import Over, Start
from pipeline.toml_tables import FORBID_EXTRA, Amount, Count, CountOrZero, Flag, Fraction


@dataclass(frozen=True, config=FORBID_EXTRA)
class AVEConfig:
    """See :class:`pipeline.models.encoders.ave.AVEEncoder`."""

    name: Literal["ave"] = "ave"
    hidden: Count = 128


@dataclass(frozen=True, config=FORBID_EXTRA)
class PSPConfig:
    """See :class:`pipeline.models.encoders.psp.PSPEncoder`."""

    name: Literal["psp"] = "psp"
    hidden: Count = 128
    threshold: Amount = 0.095
    dropout: Fraction = 0.1


@dataclass(frozen=True, config=FORBID_EXTRA)
class CMBSConfig:
    """See :class:`pipeline.models.encoders.cmbs.CMBSEncoder`."""

    name: Literal["cmbs"] = "cmbs"
    dim: Count = 256
    heads: Count = 4
    encoder_feed_forward: Count = 2048
    decoder_feed_forward: Count = 1024
    dropout: Fraction = 0.1
    alpha: Amount = 0.2
    beta: Amount = 0.5
    gamma: Amount = 0.5


@dataclass(frozen=True, config=FORBID_EXTRA)
class DMRNConfig:
    """See :class:`pipeline.models.encoders.dmrn.DMRNEncoder`."""

    name: Literal["dmrn"] = "dmrn"
    hidden: Count = 128
    blocks: Count = 1


@dataclass(frozen=True, config=FORBID_EXTRA)
class PSPSupervisedConfig:
    """See :class:`pipeline.models.encoders.psp_supervised.PSPSupervisedEncoder`."""

    name: Literal["psp-supervised"] = "psp-supervised"
    hidden: Count = 128
    threshold: Amount = 0.099
    dropout: Fraction = 0.1


@dataclass(frozen=True, config=FORBID_EXTRA)
class CMBSSupervisedConfig:
    """See :class:`pipeline.models.encoders.cmbs_supervised.CMBSSupervisedEncoder`; ``gamma`` is of its pooling."""

    name: Literal["cmbs-supervised"] = "cmbs-supervised"
    dim: Count = 256
    heads: Count = 4
    encoder_feed_forward: Count = 1024
    decoder_feed_forward: Count = 1024
    dropout: Fraction = 0.1
    alpha: Amount = 0.1
    beta: Amount = 0.4
    gamma: Amount = 0.3


@dataclass(frozen=True, config=FORBID_EXTRA)
class MLPConfig:
    """See :class:`pipeline.models.localizers.scorers.MLPScorer`."""

    name: Literal["mlp"] = "mlp"
    hidden: CountOrZero = 64
    bias: Flag = True
    start: Start = "torch"
    over: Over = "segments"
