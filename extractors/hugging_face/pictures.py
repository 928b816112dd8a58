"""Turns the configuration of a transformers image or video processor into a view and its normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from extractors.frame_network import Triple
from extractors.views import FrameView
from extractors.weights.hugging_face import quiet_transformers
from storage.errors import UnknownBackbone, WeightsError
from storage.foreign_files import reading

if TYPE_CHECKING:
    from extractors.resize import Interpolation

PROCESSORS = (
    "BitImageProcessor", "CLIPImageProcessor", "ConvNextImageProcessor", "DeiTImageProcessor",
    "DINOv3ViTImageProcessor", "PeVideoVideoProcessor", "SiglipImageProcessor", "TimesformerVideoProcessor",
    "ViTImageProcessor", "VideoMAEImageProcessor", "VideoMAEVideoProcessor", "VivitVideoProcessor",
    "VJEPA2VideoProcessor",
)  # fmt: skip
"""Their steps are known: resize, cut the centre, scale, normalise."""

_FILTERS: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}
"""Numbers of Pillow."""
_WARPED_FROM = 384
"""Above this size ConvNeXt's processor squashes pictures and cuts nothing."""
_LEVELS = 255.0


@dataclass(frozen=True)
class Pictures:
    """How a processor prepares pictures.

    Attributes:
        view: at one frame a second.
        mean: of each channel on the [0, 1] scale.
        std: likewise.
    """

    view: FrameView
    mean: Triple
    std: Triple


def read_pictures(folder: Path, *, name: str, processor: str = "") -> Pictures:
    """What a folder's processor does to a picture.

    Args:
        folder: with the processor's configuration.
        name: of the backbone, for errors.
        processor: class of transformers; the configuration's own if not given.

    Raises:
        WeightsError: If the configuration cannot be read.
        UnknownBackbone: If the processor does something that is not offered; it is named.
    """
    import transformers

    remedy = "Put the model's preprocessor_config.json there"
    with (
        quiet_transformers(),
        reading(folder, "no processor that transformers can read", error=WeightsError, remedy=remedy),
    ):
        kind = getattr(transformers, processor or "AutoImageProcessor")
        made = kind.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    called = type(made).__name__.removesuffix("Pil").removesuffix("Fast")
    if called not in PROCESSORS:
        offered = ", ".join(PROCESSORS)
        raise UnknownBackbone(f"backbone {name!r}: its processor {called} is not offered. Offered: {offered}")
    with reading(folder, "its processor's configuration is incomplete", error=WeightsError):
        view = _view(made, called)
        if view is None:
            raise UnknownBackbone(f"backbone {name!r}: {_wish(made)} is not offered: expected square pictures")
        mean, std = _normalisation(made, called)
    return Pictures(view, mean, std)


def _view(made: Any, called: str) -> FrameView | None:
    """The view; ``None`` where it is none that is offered."""
    size, cut = _sides(made.size), _sides(made.crop_size) if made.do_center_crop else {}
    filter_ = _FILTERS.get(int(made.resample))
    if not made.do_resize or filter_ is None:
        return None
    if called == "ConvNextImageProcessor":
        side = size["shortest_edge"]
        if side >= _WARPED_FROM:
            return FrameView(1, side, "squash", interpolation=filter_)
        short = int(side / made.crop_pct)
        return FrameView(1, side, "crop", short_side=short, interpolation=filter_, corner="floor")
    target = cut.get("height", size.get("height", 0))
    square = cut.get("width", target) == target and size.get("height") == size.get("width")
    short = size.get("shortest_edge", size.get("height", 0))
    if not target or not square or target > short or "longest_edge" in size:
        return None
    if "shortest_edge" in size:
        return FrameView(1, target, "crop", short_side=short, interpolation=filter_, corner="floor") if cut else None
    if short == target:
        return FrameView(1, target, "squash", interpolation=filter_)
    return FrameView(1, target, "squash", interpolation=filter_, squashed_to=(short, short), corner="floor")


def _sides(size: Any) -> dict[str, int]:
    """The sides that a size gives: transformers has it as a dictionary or as an object with ``None`` in it."""
    names = ("height", "width", "shortest_edge", "longest_edge")
    found = {name: size.get(name) if isinstance(size, dict) else getattr(size, name, None) for name in names}
    return {name: int(value) for name, value in found.items() if value is not None}


def _normalisation(made: Any, called: str) -> tuple[Triple, Triple]:
    """Mean and std on the [0, 1] scale, whatever the processor's own scale."""
    scale = float(made.rescale_factor) * _LEVELS if made.do_rescale else _LEVELS
    offset = 1.0 if called == "VivitVideoProcessor" and made.do_rescale else 0.0
    mean, std = (made.image_mean, made.image_std) if made.do_normalize else ((0.0,) * 3, (1.0,) * 3)
    return (
        cast("Triple", tuple((float(value) + offset) / scale for value in mean)),
        cast("Triple", tuple(float(value) / scale for value in std)),
    )


def _wish(made: Any) -> str:
    cut = f", cut to {_sides(made.crop_size)}" if made.do_center_crop else ""
    return f"resizing to {_sides(made.size)}{cut} with filter {made.resample}"
