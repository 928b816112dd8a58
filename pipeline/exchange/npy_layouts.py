"""Layouts of published ``.npy`` feature folders.

A layout says which file of a folder is which array. :class:`storage.tables.file_stems.FileStems` names the files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.schema import FeatureSpec, Modality

STEM = "{id}"


@dataclass(frozen=True)
class LayoutPart:
    """One array of a layout.

    Attributes:
        array: name in the store.
        pattern: path of a clip's file below the folder, with ``{id}``.
        steps: rows of a file; 0 to take them from the files.
        dim: values a row.
        modality: of the features.
        step_seconds: between rows; ``None`` where they are not on the time grid.
        description: one line for people.
    """

    array: str
    pattern: str
    steps: int
    dim: int
    modality: Modality
    step_seconds: float | None
    description: str

    def spec(self, dtype: str = "float32") -> FeatureSpec:
        """As the store describes it."""
        return FeatureSpec(
            self.array, self.steps, self.dim, self.modality, self.step_seconds, dtype, self.description  # type: ignore[arg-type]
        )  # fmt: skip

    @property
    def as_option(self) -> str:
        """This array alone, as ``--layout`` takes it."""
        shape = f"{self.steps}x{self.dim}" if self.steps else str(self.dim)
        seconds = "" if self.step_seconds is None else f":{self.step_seconds:g}s"
        return f"{self.array}={self.pattern}:{shape}:{self.modality}{seconds}"

    def file(self, folder: Path, stem: str) -> Path:
        """A clip's file."""
        return folder / self.pattern.replace(STEM, stem)


def _part(
    array: str, pattern: str, steps: int, dim: int, modality: Modality, step: float | None, what: str
) -> LayoutPart:
    return LayoutPart(array, pattern, steps, dim, modality, step, f"{what}, as published")


_R2PLUS1D = _part("r2plus1d_18", "r2plus1d_18/{id}.npy", 10, 512, "visual", 1.0, "R(2+1)D-18")
_VALOR = (
    _part("clip_vit_l14", "CLIP/features/{id}.npy", 10, 768, "visual", 1.0, "CLIP ViT-L/14"),
    _part("clap_map", "CLAP/features/{id}.npy", 64, 768, "audio", None, "CLAP (HTSAT) feature map"),
)

LAYOUTS: dict[str, tuple[LayoutPart, ...]] = {
    "avvp-eccv20": (
        _part("vggish", "vggish/{id}.npy", 10, 128, "audio", 1.0, "VGGish"),
        _part("resnet152", "res152/{id}.npy", 80, 2048, "visual", 0.125, "ResNet-152 at 8 FPS"),
        _R2PLUS1D,
    ),
    "valor": _VALOR,
    "clip-clap-r2plus1d": (*_VALOR, _R2PLUS1D),
    "lsld": (
        _part("clip_ViT-B-16_openai_8fps", "CLIP/{id}.npy", 80, 512, "visual", 0.125, "CLIP ViT-B/16 at 8 FPS"),
        _part("clap_630k-audioset-best", "CLAP/{id}.npy", 10, 512, "audio", 1.0, "CLAP 630k-audioset-best"),
    ),
}
"""Folders of AVVP-ECCV20 (HAN, MM-Pyr, LEAP), of VALOR, of VALOR++ and MM-CSE (VALOR's with R(2+1)D beside), and of
LSLD and ADDA (their ``feats``)."""

_GENERIC = re.compile(
    r"(?P<name>[\w@.:-]+)=(?P<pattern>[^:]*\{[^:]*\}?[^:]*):(?P<shape>\d+(x\d+)?)"
    r"(:(?P<modality>audio|visual))?(:(?P<seconds>\d+(\.\d+)?)s)?"
)


def parse_layout(text: str) -> tuple[LayoutPart, ...]:
    """A known layout, or one array of one's own.

    Args:
        text: a name of :data:`LAYOUTS`, or ``NAME=PATTERN:SHAPE[:MODALITY][:SECONDSs]``: the pattern with ``{id}``, the
            shape ``dim`` or ``stepsxdim``, ``audio`` or ``visual`` (the default), and the time between steps. Without
            it, the steps are not on the time grid.

    Raises:
        InvalidInput: If it is neither.
    """
    if text in LAYOUTS:
        return LAYOUTS[text]
    match = _GENERIC.fullmatch(text)
    if match is None or STEM not in match["pattern"]:
        raise InvalidInput(
            f"--layout {text!r}: expected {', '.join(LAYOUTS)}, or NAME=PATTERN:DIM such as "
            "'vgg=vgg/{id}.npy:512' (or :10x512, :10x512:audio, :10x512:audio:1s), with {id} where the clip's name "
            "stands"
        )
    steps, _, dim = match["shape"].rpartition("x")
    seconds = None if match["seconds"] is None else float(match["seconds"])
    if int(dim) == 0 or steps == "0" or seconds == 0:
        raise InvalidInput(f"--layout {text!r}: steps, values a step and seconds between steps must be more than 0")
    modality: Modality = "audio" if match["modality"] == "audio" else "visual"
    name = match["name"]
    return (LayoutPart(name, match["pattern"], int(steps or 0), int(dim), modality, seconds, f"imported as {name}"),)


def table_of_folder(folder: Path, parts: Sequence[LayoutPart], *, dataset: str) -> ClipTable:
    """Clips by the names of the files, for a store that is made of nothing else.

    Raises:
        InvalidInput: If the folder is not there or has none of the layout's files.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder")
    names: set[str] = set()
    for part in parts:
        before, _, after = part.pattern.partition(STEM)
        for path in folder.glob(f"{before}*{after}"):
            text = path.relative_to(folder).as_posix()
            names.add(text[len(before) : len(text) - len(after)])
    if not names:
        raise InvalidInput(f"{folder}: holds no file of this layout; expected e.g. {parts[0].pattern}")
    return ClipTable([Clip(name, str(folder / name)) for name in sorted(names)], dataset=dataset, source=str(folder))
