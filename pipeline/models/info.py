"""Counts a model's parameters and operations, in all and by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.models.config import LEAPConfig, MMCSEConfig, ModelConfig
from pipeline.models.decoders.mmcse import MMCSE
from pipeline.models.factory import build_model
from pipeline.models.input_projection import CLAP_GRID
from pipeline.models.localizers.localization import Localizer
from pipeline.models.paired_layers import PairedNorm
from pipeline.models.parser import Parser
from pipeline.models.published_cost import published_cost

_OPERATIONS_A_NORMALISED_VALUE = 5
"""As fvcore counts an affine layer norm."""

_PARTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Parser": {
        "input projection": ("input_projection",),
        "encoder": ("encoder",),
        "labels": ("decoder.labels",),
        "decoder": ("decoder.blocks", "decoder.heads"),
        "video heads": ("decoder.video",),
    },
    "MMCSE": {
        "input projection": ("input_projection",),
        "encoder": ("encoder",),
        "decoupling": ("audio_decoupler", "visual_decoupler", "audio_background", "visual_background"),
        "reconstruction": ("audio_reconstructor", "visual_reconstructor"),
        "enhancement": ("layers",),
        "heads": ("heads",),
    },
}
"""Modules of each part, by class of the model. LEAP's decoder is its blocks, as in the paper's appendix C."""


@dataclass(frozen=True)
class Cost:
    """Size and work of a model or a part of it.

    Attributes:
        parameters: how many.
        multiply_adds: of matrix products, for one clip in evaluation mode; those of an LSTM are not counted.
        norm_operations: of layer norms, 5 a value.
    """

    parameters: int
    multiply_adds: int
    norm_operations: int

    @property
    def flops(self) -> int:
        """What fvcore counts, and papers call FLOPs: one a multiply-add, and layer norms."""
        return self.multiply_adds + self.norm_operations


@dataclass(frozen=True)
class ModelInfo:
    """Size of a model, ours and as published.

    Attributes:
        whole: our module; all of its parameters are live.
        parts: by name, in the order of the work; empty for localizers.
        published: parameters of the published code in the same configuration, dead ones included, and its operations:
            ours, measured, and those that ours saves. ``None`` for options that no published code has.
        published_decoder: LEAP: of the decoder alone.
    """

    whole: Cost
    parts: dict[str, Cost] = field(default_factory=dict)
    published: Cost | None = None
    published_decoder: Cost | None = None


def model_info(config: ModelConfig) -> ModelInfo:
    """Build a model and measure it.

    Features come as the published loaders give them, except that 2D frames are already averaged over segments:
    averaging needs no multiply-add, and our input projection averages first anyway.
    """
    model = build_model(config).eval()
    counter = FlopCounterMode(display=False)
    norms = _NormCounter(model)
    with torch.no_grad(), counter:
        model(**one_clip(config))
    norms.remove()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    whole = Cost(parameters, counter.get_total_flops() // 2, sum(norms.operations.values()))
    parts = _parts(model, counter, norms)
    cost = published_cost(config)
    if cost is None:
        return ModelInfo(whole, parts)
    published = Cost(cost.parameters, whole.multiply_adds + cost.saved, whole.norm_operations)
    decoder = None
    if cost.decoder_parameters:
        ours = parts["decoder"]
        decoder = Cost(cost.decoder_parameters, ours.multiply_adds + cost.decoder_saved, ours.norm_operations)
    return ModelInfo(whole, parts, published, decoder)


class _NormCounter:
    """Counts the operations of a model's layer norms, by name of the module."""

    def __init__(self, model: nn.Module) -> None:
        self.operations: Counter[str] = Counter()
        self._hooks = [
            module.register_forward_hook(partial(self._count, name))
            for name, module in model.named_modules()
            if isinstance(module, nn.LayerNorm | PairedNorm)
        ]

    def _count(self, name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.operations[name] += _OPERATIONS_A_NORMALISED_VALUE * output.numel()

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def one_clip(config: ModelConfig, *, clips: int = 1, frames_per_segment: int = 1) -> dict[str, Tensor | None]:
    """Features of a clip, all zero, as a model takes them.

    Args:
        config: of the model.
        clips: how many alike.
        frames_per_segment: steps of ``visual_2d`` a segment; CLIP's and a localizer's are always one.
    """
    features, segments = config.features, config.segments
    steps = CLAP_GRID[0] * CLAP_GRID[1] if features.audio_map else segments
    decoder = None if isinstance(config, MMCSEConfig) else config.decoder
    label_dim = decoder.label_dim if isinstance(decoder, LEAPConfig) else 0
    several = features.visual_3d_dim and not features.audio_map
    frames = segments * (frames_per_segment if several else 1)
    clip = {
        "audio": torch.zeros(clips, steps, features.audio_dim),
        "visual_2d": torch.zeros(clips, frames, features.visual_2d_dim),
        "visual_3d": torch.zeros(clips, segments, features.visual_3d_dim),
        "labels": torch.zeros(config.classes, label_dim) if label_dim else None,
    }
    return {name: part for name, part in clip.items() if name != "visual_3d" or features.visual_3d_dim}


def _parts(model: Parser | MMCSE | Localizer, counter: FlopCounterMode, norms: _NormCounter) -> dict[str, Cost]:
    """Cost of each part that the model has."""
    root = type(model).__name__
    counted = {name: sum(kinds.values()) // 2 for name, kinds in counter.get_flop_counts().items()}
    found = {}
    for part, modules in _PARTS.get(root, {}).items():
        parameters = sum(value.numel() for name, value in model.named_parameters() if name.startswith(_inside(modules)))
        if parameters:
            products = sum(_products(counted, f"{root}.{module}") for module in modules)
            normed = sum(count for name, count in norms.operations.items() if name.startswith(_inside(modules)))
            found[part] = Cost(parameters, products, normed)
    return found


def _inside(modules: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{module}." for module in modules)


def _products(counted: Mapping[str, int], module: str) -> int:
    """Multiply-adds of a module; of those in it if it is a list, which is never called itself."""
    if module in counted:
        return counted[module]
    listed = [name for name in counted if name.rpartition(".")[0] == module]
    return sum(counted[name] for name in listed)
