"""Backbones by name. A new one is one file beside this and one line here; nothing is imported until asked for."""

from __future__ import annotations

import difflib
import importlib
import re
from typing import Any

from extractors.base import Extractor
from extractors.family import Family
from storage.errors import UnknownBackbone
from storage.extras import missing_extra

BACKBONES: dict[str, str] = {
    "resnet152": "extractors.visual.resnet152:ResNet152",
    "r2plus1d_18": "extractors.visual.r2plus1d_18:R2Plus1D18",
    "vgg19_pool5": "extractors.visual.vgg19_pool5:Vgg19Pool5",
    "clip_vit_l14": "extractors.visual.clip:ClipVitL14",
    "clip": "extractors.visual.clip:ClipImage",
    "vggish": "extractors.audio.vggish:Vggish",
    "clap": "extractors.audio.clap:Clap",
    "yamnet": "extractors.audio.yamnet:Yamnet",
    "efficientnet_lite0": "extractors.visual.efficientnet_lite0:EfficientNetLite0",
}
"""Name -> ``module:Class``."""

FAMILIES: dict[str, str] = {
    "hf": "extractors.hugging_face.family:HuggingFace",
}
"""Prefix -> ``module:Class`` of a :class:`extractors.family.Family`."""

PREFIXES = {"clip": "clip:<model>/<pretrained>, e.g. clip:ViT-B-32/openai"}
"""Names that need a variant after a colon, and how it is written."""

_RATE = re.compile(r"(?P<rest>.+)@(?P<rate>[1-9]\d?)fps")


def names() -> tuple[str, ...]:
    """The backbones that can be asked for as they stand."""
    return tuple(name for name in BACKBONES if name not in PREFIXES)


def create(name: str, *, clip_seconds: int = 10) -> Extractor:
    """Make a backbone without its network. Cheap: imports no torch and reaches no network.

    Args:
        name: one of :func:`names`, or ``clip:<model>/<pretrained>``; ``@8fps`` at the end overrides the frame
            rate of a backbone that looks at single frames.
        clip_seconds: length of every clip.

    Raises:
        UnknownBackbone: If there is none of that name, or it has no frame rate to override.
    """
    rate = _RATE.fullmatch(name)
    rest = rate["rest"] if rate else name
    base, _, variant = rest.partition(":")
    frames_per_second = int(rate["rate"]) if rate else None
    if base in FAMILIES and variant:
        return family(base).create(name, variant, clip_seconds=clip_seconds, frames_per_second=frames_per_second)
    if base not in BACKBONES or "@" in rest:
        raise UnknownBackbone(_unknown(name, base.partition("@")[0]))
    module, _, attribute = BACKBONES[base].partition(":")
    kind: type[Extractor] = _kind(base, module, attribute)
    if base in PREFIXES and not variant:
        raise UnknownBackbone(f"backbone {name!r}: expected {PREFIXES[base]}")
    if variant and base not in PREFIXES and not kind.variants:
        raise UnknownBackbone(f"backbone {name!r}: expected {base} without {':' + variant!r}")
    if rate and not kind.allows_frame_rate:
        raise UnknownBackbone(f"backbone {name!r}: {base} has its own frame rate; ask for {rest!r}")
    return kind(
        name=name,
        variant=variant,
        clip_seconds=clip_seconds,
        frames_per_second=frames_per_second,
    )


def family(prefix: str) -> Family:
    """The family of a prefix, one of :data:`FAMILIES`."""
    module, _, attribute = FAMILIES[prefix].partition(":")
    kind: type[Family] = _kind(prefix, module, attribute)
    return kind()


def _kind(base: str, module: str, attribute: str) -> Any:
    """The class of a backbone or a family."""
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as problem:
        raise missing_extra(problem.name) or _not_importable(base, module, attribute, problem) from problem
    except (ImportError, AttributeError, SyntaxError, NameError, TypeError) as problem:
        raise _not_importable(base, module, attribute, problem) from problem


def _not_importable(base: str, module: str, attribute: str, problem: Exception) -> UnknownBackbone:
    return UnknownBackbone(
        f"backbone {base!r}: {module}:{attribute} cannot be imported: {type(problem).__name__}: {problem}. "
        "Mend that file, or its line in extractors/registry.py"
    )


def load(
    name: str,
    *,
    weights: str = "pretrained",
    device: str = "cpu",
    precision: str = "float32",
    engine: str = "auto",
    clip_seconds: int = 10,
) -> Extractor:
    """Make a backbone that is ready to run.

    Args:
        name: see :func:`create`.
        weights: ``pretrained``, ``random:SEED`` or a path to a state dict in the official format.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        engine: ``auto``, ``torch`` or ``openvino``; see :meth:`Extractor.choose_engine`.
        clip_seconds: length of every clip.

    Raises:
        UnknownBackbone: See :func:`create`.
        WeightsError: If the weights cannot be had or do not fit.
        InvalidInput: If the device, the precision or the engine cannot be used.
    """
    extractor = create(name, clip_seconds=clip_seconds)

    from extractors.engines.runtime import check_precision, pick_device
    from extractors.weights.loading import resolve

    device = pick_device(device)
    check_precision(precision, device)
    found = resolve(weights, extractor.weights_source)
    engine = extractor.choose_engine(engine, found, device=device, precision=precision)
    extractor.load(found, device=device, precision=precision, engine=engine)
    return extractor


def _unknown(name: str, base: str) -> str:
    choices = [*names(), *PREFIXES.values()]
    near = difflib.get_close_matches(base.lower(), BACKBONES, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown backbone {name!r}.{hint} Choose from: {', '.join(choices)}; @Nfps may follow a per-frame one."
