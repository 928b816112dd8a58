"""Counts a model's parameters and its multiply-adds per clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.models.config import OFFICIAL, HANConfig, LEAPConfig, LocalizerConfig, MMCSEConfig, ModelConfig
from pipeline.models.decoders.mmcse import MMCSE
from pipeline.models.factory import build_model
from pipeline.models.input_projection import CLAP_GRID
from pipeline.models.localizers.localization import Localizer
from pipeline.models.official.loading import official_layout
from pipeline.models.paired_layers import PairedNorm
from pipeline.models.parser import Parser

_OPERATIONS_A_NORMALISED_VALUE = 5
"""As fvcore counts an affine layer norm."""


@dataclass(frozen=True)
class PublishedCost:
    """Cost of a model according to its paper and its published code.

    Attributes:
        flops: fvcore's count of the published code, one a multiply-add, one clip of 10 segments; ``None`` where
            no count with one tool gives the paper's number.
        decoder_flops: of the decoder alone.
        paper: what the paper states.
    """

    flops: int | None
    decoder_flops: int | None
    paper: str


PUBLISHED_COSTS = {
    "leap-mmpyr": PublishedCost(790_778_880, 145_971_200, "52.01 M parameters, 791 M FLOPs; decoder 7.89 M, 146 M"),
    "valor-plus": PublishedCost(None, None, "5.05 M parameters, 0.45 G FLOPs, as MM-CSE reports VALOR"),
    "mmcse": PublishedCost(None, None, "4.49 M parameters, 0.80 G FLOPs, without the reconstruction decoders"),
}
"""By system, where a paper gives a number."""


@dataclass(frozen=True)
class ModelInfo:
    """Size of a model.

    Attributes:
        parameters: of our module; all of them are live.
        published_parameters: of the published code in the same configuration, dead weights included; ``None`` for
            options that no published code has.
        multiply_adds: of matrix products, for one clip in evaluation mode; those of an LSTM are not counted.
        norm_operations: of layer norms, 5 a value; fvcore adds these to the multiply-adds.
        parts: multiply-adds of ``input_projection``, ``encoder``, ``labels`` (their projection) and ``decoder``
            (without it); empty for MM-CSE and localizers.
    """

    parameters: int
    published_parameters: int | None
    multiply_adds: int
    norm_operations: int
    parts: dict[str, int]


def model_info(config: ModelConfig) -> ModelInfo:
    """Build a model and measure it.

    Features come as the published loaders give them, except that 2D frames are already averaged over segments:
    averaging needs no multiply-add, and our input projection averages first anyway.
    """
    model = build_model(config).eval()
    counter = FlopCounterMode(display=False)
    norms = _NormCounter(model)
    with torch.no_grad(), counter:
        model(**_one_clip(config))
    norms.remove()
    return ModelInfo(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        published_parameters=published_parameters(config),
        multiply_adds=counter.get_total_flops() // 2,
        norm_operations=_OPERATIONS_A_NORMALISED_VALUE * norms.values,
        parts=_parts(model, counter),
    )


def published_parameters(config: ModelConfig) -> int | None:
    """Parameters of the published code in this configuration, dead weights included; ``None`` where it has no such."""
    if isinstance(config, LocalizerConfig):
        return official_layout(config).parameters() if config in OFFICIAL.values() else None
    if isinstance(config, MMCSEConfig):
        return official_layout(config).parameters() if config.as_published else None
    stacked = isinstance(config.encoder, HANConfig) and config.encoder.stacking == "stacked"
    changed = isinstance(config.decoder, LEAPConfig) and (
        config.decoder.norm == "paper" or not config.decoder.label_dim
    )
    if stacked or changed:
        return None
    layers = config.encoder.layers if isinstance(config.encoder, HANConfig) else 1
    return official_layout(config, han_layers=layers).parameters()


class _NormCounter:
    """Counts the values that pass a model's layer norms."""

    def __init__(self, model: nn.Module) -> None:
        self.values = 0
        found = [module for module in model.modules() if isinstance(module, nn.LayerNorm | PairedNorm)]
        self._hooks = [module.register_forward_hook(self._count) for module in found]

    def _count(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.values += output.numel()

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def _one_clip(config: ModelConfig) -> dict[str, Tensor | None]:
    features, segments = config.features, config.segments
    steps = CLAP_GRID[0] * CLAP_GRID[1] if features.audio_map else segments
    decoder = None if isinstance(config, MMCSEConfig) else config.decoder
    label_dim = decoder.label_dim if isinstance(decoder, LEAPConfig) else 0
    clip = {
        "audio": torch.zeros(1, steps, features.audio_dim),
        "visual_2d": torch.zeros(1, segments, features.visual_2d_dim),
        "visual_3d": torch.zeros(1, segments, features.visual_3d_dim),
        "labels": torch.zeros(config.classes, label_dim) if label_dim else None,
    }
    return {name: part for name, part in clip.items() if name != "visual_3d" or features.visual_3d_dim}


def _parts(model: Parser | MMCSE | Localizer, counter: FlopCounterMode) -> dict[str, int]:
    if not isinstance(model, Parser):
        return {}
    counts = {name: sum(by_operation.values()) // 2 for name, by_operation in counter.get_flop_counts().items()}
    labels = counts.get("Parser.decoder.labels", 0)
    parts = {name: counts[f"Parser.{name}"] for name in ("input_projection", "encoder", "decoder")}
    return parts | {"labels": labels, "decoder": parts["decoder"] - labels}
