"""Backbones by name. A new one is one file beside this and one line here; nothing is imported until asked for."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from importlib.metadata import entry_points
from typing import Any

from extractors import own_file
from extractors.base import Extractor
from extractors.family import Family, FoundBackbone, matches
from extractors.foreign_code import authors_mistakes, check_facts
from extractors.windows import Windows
from storage.errors import UnknownBackbone
from storage.extras import missing_extra
from storage.text import error_words

BACKBONES: dict[str, str] = {
    "resnet152": "extractors.visual.resnet152:ResNet152",
    "r2plus1d_18": "extractors.visual.r2plus1d_18:R2Plus1D18",
    "vgg19_pool5": "extractors.visual.vgg19_pool5:Vgg19Pool5",
    "clip_vit_l14": "extractors.visual.clip:ClipVitL14",
    "vggish": "extractors.audio.vggish:Vggish",
    "clap": "extractors.audio.clap:Clap",
    "yamnet": "extractors.audio.yamnet:Yamnet",
    "efficientnet_lite0": "extractors.visual.efficientnet_lite0:EfficientNetLite0",
}
"""Name -> ``module:Class``."""

FAMILIES: dict[str, str] = {
    "clip": "extractors.visual.clip_family:ClipFamily",
    "hf": "extractors.hugging_face.family:HuggingFace",
    "timm": "extractors.visual.timm_models:TimmFamily",
    "torchvision": "extractors.visual.torchvision_models:TorchvisionFamily",
}
"""Prefix -> ``module:Class`` of a :class:`extractors.family.Family`."""

ENTRY_POINTS = "avvp.backbones"
"""Entry points of other packages: name -> ``module:Class``."""

_RATE = re.compile(r"(?P<rest>.+)@(?P<rate>[1-9]\d?)fps")
_WINDOWS = re.compile(r"(?P<rest>.+)@(?P<window>\d+(?:\.\d+)?)s/(?P<hop>\d+(?:\.\d+)?)s")


def names() -> tuple[str, ...]:
    """The backbones of this package that can be asked for as they stand."""
    return tuple(BACKBONES)


def names_of_packages() -> dict[str, str]:
    """The backbones that installed packages register: name -> ``module:Class``. A name of ours stays ours."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def forms() -> tuple[str, ...]:
    """How backbones are named that no list holds: of families, and in files of the user's own."""
    return (*(family(prefix).form for prefix in FAMILIES), own_file.FORM)


def search(pattern: str) -> list[FoundBackbone]:
    """Backbones whose name matches a shell pattern such as ``timm:*dinov3*``, in any case of letters.

    Args:
        pattern: with a family's prefix, to look among its members; else among all names, those of the families'
            members without their prefix.

    Raises:
        UnknownBackbone: If the prefix is no family's.
    """
    prefix, separator, rest = pattern.partition(":")
    if separator and prefix in FAMILIES:
        return family(prefix).search(rest)
    if separator and prefix not in BACKBONES:
        raise UnknownBackbone(f"{pattern!r}: no family {prefix!r}. Families: {', '.join(FAMILIES)}")
    known = sorted({*names(), *names_of_packages()})
    of_families = [] if separator else [item for prefix in FAMILIES for item in family(prefix).search(pattern)]
    return [*(_found(name) for name in known if matches(name, pattern)), *of_families]


def _found(name: str) -> FoundBackbone:
    made = create(name)
    return FoundBackbone.with_files(name, made.modality, made.weights_files, dim=made.specs[0].dim)


def create(name: str, *, clip_seconds: int = 10) -> Extractor:
    """Make a backbone without its network. Cheap: imports no torch and reaches no network.

    Args:
        name: one of :func:`names`, or ``clip:<model>/<pretrained>``; ``@8fps`` at the end overrides the frame
            rate of a backbone that looks at single frames, ``@0.96s/0.48s`` asks one that listens for windows of
            0.96 s that begin 0.48 s apart.
        clip_seconds: length of every clip.

    Raises:
        UnknownBackbone: If there is none of that name, or it has no frame rate or no windows to override.
    """
    if cut := _WINDOWS.fullmatch(name):
        windows = Windows(float(cut["window"]), float(cut["hop"]))
        if name != (written := f"{cut['rest']}@{windows.label}"):
            raise UnknownBackbone(f"backbone {name!r}: write {written!r}; equal windows have one name, so one array")
        made = create(cut["rest"], clip_seconds=clip_seconds)
        made.name = name
        made.use_windows(windows)
        return made
    rate = _RATE.fullmatch(name)
    rest = rate["rest"] if rate else name
    base, _, variant = rest.partition(":")
    frames_per_second = int(rate["rate"]) if rate else None
    if own_file.is_own_file(rest):
        return _from_file(name, rest, clip_seconds=clip_seconds, frames_per_second=frames_per_second)
    if base in FAMILIES:
        if not variant:
            raise UnknownBackbone(f"backbone {name!r}: expected {family(base).form}")
        _check_ending(name, rest)
        return family(base).create(name, variant, clip_seconds=clip_seconds, frames_per_second=frames_per_second)
    target = BACKBONES.get(base) or names_of_packages().get(base)
    if target is None or "@" in rest:
        raise UnknownBackbone(_unknown(name, base.partition("@")[0]))
    _check_ending(name, rest)
    if base not in BACKBONES:
        return _from_package(name, rest, target, clip_seconds=clip_seconds, frames_per_second=frames_per_second)
    module, _, attribute = target.partition(":")
    kind: type[Extractor] = _kind(base, module, attribute)
    _check_variant(kind, name, rest)
    _check_rate(kind, name, rest, frames_per_second)
    return kind(
        name=name,
        variant=variant,
        clip_seconds=clip_seconds,
        frames_per_second=frames_per_second,
    )


def _from_file(name: str, rest: str, *, clip_seconds: int, frames_per_second: int | None) -> Extractor:
    kind, digest = own_file.load_class(rest)
    _check_rate(kind, name, rest, frames_per_second)
    origin = own_file.path_of(rest)
    made = _made(kind, name, origin, clip_seconds=clip_seconds, frames_per_second=frames_per_second)
    made.file_digest = digest
    return made


def _from_package(name: str, rest: str, target: str, *, clip_seconds: int, frames_per_second: int | None) -> Extractor:
    module, _, attribute = target.partition(":")
    base, _, variant = rest.partition(":")
    try:
        kind: Any = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as problem:
        raise UnknownBackbone(
            f"backbone {name!r}: {target} cannot be imported: {error_words(problem)}. Mend or uninstall the package "
            f"that has it as {base!r} in {ENTRY_POINTS}"
        ) from problem
    if not (inspect.isclass(kind) and issubclass(kind, Extractor)):
        raise UnknownBackbone(f"backbone {name!r}: {target} does not derive from extractors.base.Extractor")
    _check_variant(kind, name, rest)
    _check_rate(kind, name, rest, frames_per_second)
    return _made(kind, name, target, variant=variant, clip_seconds=clip_seconds, frames_per_second=frames_per_second)


def _made(kind: type[Extractor], name: str, origin: str, **options: Any) -> Extractor:
    """A backbone of code that is not ours."""
    try:
        made = kind(name=name, **options)
    except UnknownBackbone:
        raise
    except Exception as problem:
        raise UnknownBackbone(f"backbone {name!r}: cannot be made: {error_words(problem)}. Mend {origin}") from problem
    if not hasattr(made, "frames_per_second"):
        raise UnknownBackbone(f"backbone {name!r}: its __init__ does not call that of Extractor. Mend {origin}")
    made.origin = origin
    check_facts(made)
    return made


def _check_ending(name: str, rest: str) -> None:
    if rest.endswith(":"):
        plain = rest.rstrip(":")
        raise UnknownBackbone(f"backbone {name!r}: nothing follows the last colon; ask for {plain!r} without it")


def _check_variant(kind: type[Extractor], name: str, rest: str) -> None:
    base, _, variant = rest.partition(":")
    if variant and not kind.variants:
        raise UnknownBackbone(f"backbone {name!r}: expected {base} without {':' + variant!r}")


def _check_rate(kind: type[Extractor], name: str, rest: str, frames_per_second: int | None) -> None:
    if frames_per_second is not None and not kind.allows_frame_rate:
        raise UnknownBackbone(f"backbone {name!r}: {rest} has its own frame rate; ask for {rest!r}")


def in_windows(name: str, *, window: float | None, hop: float | None) -> str:
    """The name of an audio backbone that looks at windows; of any other backbone, its name as it is.

    Args:
        name: a backbone; one that says its windows already is left alone.
        window: seconds of each; ``None`` for as long as the hop.
        hop: seconds from the beginning of one to that of the next; ``None`` for the window's length.

    Raises:
        UnknownBackbone: If there is none of that name.
    """
    window, hop = window or hop, hop or window
    if window is None or hop is None or has_windows(name) or create(name).modality != "audio":
        return name
    return f"{name}@{Windows(window, hop).label}"


def has_windows(name: str) -> bool:
    """Whether a name says which windows of the sound are looked at."""
    return _WINDOWS.fullmatch(name) is not None


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
        precision: ``float32``, ``tf32``, ``bfloat16`` or ``float16``.
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
    with authors_mistakes(extractor):
        extractor.load(found, device=device, precision=precision, engine=engine)
    return extractor


def _unknown(name: str, base: str) -> str:
    if name.endswith(".py"):
        return f"backbone {name!r}: names a file without a class; expected {own_file.FORM}"
    choices = ", ".join([*names(), *names_of_packages()])
    families = ", ".join(f"{family_name}:NAME" for family_name in FAMILIES)
    near = difflib.get_close_matches(base.lower(), [*BACKBONES, *FAMILIES], n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return (
        f"unknown backbone {name!r}.{hint} Choose from: {choices}; {families}; {own_file.FORM}. "
        "With endings and examples: avvp backbones"
    )
