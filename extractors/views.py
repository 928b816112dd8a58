"""Views: the frames or samples that a backbone wants of a clip. Needs numpy and Pillow only.

Resizing happens once, from the source frame, in the decode worker; what travels is uint8 at the size the
network eats. Two backbones with equal views share one array. Pillow's resize is what the official
transforms call, so a view equals them bit for bit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from extractors.resize import Interpolation

Corner = Literal["even", "floor"]


@dataclass(frozen=True)
class FrameView:
    """Square frames at a fixed rate.

    Attributes:
        frames_per_second: frames on the clip's grid.
        size: height and width of the result, in pixels.
        geometry: ``crop`` scales the shorter side to ``short_side`` and cuts the centre;
            ``squash`` scales height and width to ``size`` and ignores the aspect ratio.
        short_side: for ``crop`` only.
        interpolation: ``bilinear`` or ``bicubic``.
        antialias: false only with ``bilinear``, as tensor resizes were before torchvision 0.17.
        squashed_to: for ``squash`` only: height and width that the picture is scaled to, whose centre is then cut;
            ``None`` for ``size`` by ``size``.
        corner: how the corner of the centre is brought to a whole pixel: ``even`` rounds halves to even numbers, as
            torchvision does, ``floor`` rounds down, as transformers does.
    """

    frames_per_second: int
    size: int
    geometry: Literal["crop", "squash"] = "crop"
    short_side: int = 0
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    squashed_to: tuple[int, int] | None = None
    corner: Corner = "even"

    def __post_init__(self) -> None:
        if not self.antialias and self.interpolation != "bilinear":
            raise ValueError(f"a view without antialiasing is bilinear, not {self.interpolation}")
        if self.frames_per_second < 1 or self.size < 1:
            raise ValueError(f"a view of {self.frames_per_second} frames a second, {self.size} pixels wide, is empty")
        if self.geometry == "crop" and self.short_side < 1:
            raise ValueError(f"a crop needs the shorter side that pictures are scaled to, not {self.short_side}")

    @property
    def modality(self) -> Literal["visual"]:
        """Frames are visual."""
        return "visual"

    def frames(self, clip_seconds: int) -> int:
        """How many frames a clip has in this view."""
        return self.frames_per_second * clip_seconds

    def nbytes(self, clip_seconds: int) -> int:
        """Bytes of one clip in this view."""
        return self.frames(clip_seconds) * self.size * self.size * 3

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize one frame.

        Args:
            image: ``[height, width, 3]`` uint8 RGB of any size.

        Returns:
            ``[size, size, 3]`` uint8.
        """
        if self.geometry == "squash" and not self.antialias and self.squashed_to is None:
            return _squash_plain(image, self.size)
        return _kept(image, *self._scaled(image.shape[:2]), self)

    def _scaled(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width after scaling; the longer side is cut to a whole number, as torchvision does."""
        if self.geometry == "squash":
            return self.squashed_to or (self.size, self.size)
        height, width = shape
        if height <= width:
            return self.short_side, int(self.short_side * width / height)
        return int(self.short_side * height / width), self.short_side

    @property
    def least_side(self) -> int:
        """Shorter side of a picture that this view need not enlarge."""
        return max(self.squashed_to) if self.squashed_to else self.short_side or self.size

    def to_json(self) -> dict[str, Any]:
        """Plain data for the provenance. What older stores do not name is left out where it is as it ever was."""
        facts = asdict(self)
        usual = {"squashed_to": None, "corner": "even"}
        return {name: value for name, value in facts.items() if name not in usual or value != usual[name]}


@dataclass(frozen=True)
class AudioView:
    """Mono samples at a fixed rate.

    Attributes:
        sample_rate_hz: samples a second.
    """

    sample_rate_hz: int

    @property
    def modality(self) -> Literal["audio"]:
        """Samples are audio."""
        return "audio"

    def nbytes(self, clip_seconds: int) -> int:
        """Bytes of one clip in this view."""
        return self.sample_rate_hz * clip_seconds * 4

    def to_json(self) -> dict[str, Any]:
        """Plain data for the provenance."""
        return asdict(self)


def _kept(image: NDArray[np.uint8], height: int, width: int, view: FrameView) -> NDArray[np.uint8]:
    """Resize and cut the centre; a side shorter than the view is padded with black."""
    size = view.size
    rows, columns = min(height, size), min(width, size)
    if view.corner == "floor":
        top, left = (height - rows) // 2, (width - columns) // 2
    else:
        top, left = round((height - rows) / 2.0), round((width - columns) / 2.0)
    part = _part(image, height, width, slice(top, top + rows), slice(left, left + columns), view)
    if (rows, columns) == (size, size):
        return part
    canvas = np.zeros((size, size, 3), dtype=np.uint8)
    above, before = (size - rows) // 2, (size - columns) // 2
    canvas[above : above + rows, before : before + columns] = part
    return canvas


def _part(
    image: NDArray[np.uint8], height: int, width: int, rows: slice, columns: slice, view: FrameView
) -> NDArray[np.uint8]:
    """Some rows and columns of the picture resized to ``height`` and ``width``."""
    if not view.antialias:
        return _plain_part(image, height, width, rows, columns)
    from extractors.resize import resize_part  # listing backbones needs neither Pillow nor numba

    return resize_part(
        image,
        height,
        width,
        top=rows.start,
        left=columns.start,
        rows=rows.stop - rows.start,
        columns=columns.stop - columns.start,
        interpolation=view.interpolation,
    )


def _plain_part(image: NDArray[np.uint8], height: int, width: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
    """Bilinear without antialiasing, in float32 throughout as torch computes it, rounded to uint8."""
    if image.shape[:2] == (height, width):
        return image[rows, columns]
    above, below, down = _float32_taps(image.shape[0], height, rows)
    before, after, right = _float32_taps(image.shape[1], width, columns)
    down, right = down[:, None, None], right[:, None]

    def across(lines: NDArray[np.intp]) -> NDArray[np.float32]:
        source = image[lines]
        return np.asarray(source[:, before] * (1 - right) + source[:, after] * right)

    mixed = np.rint(across(above) * (1 - down) + across(below) * down)
    return np.asarray(mixed, dtype=np.uint8)


def _float32_taps(
    source: int, target: int, kept: slice
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """As :func:`_taps` for some output positions, computed in float32."""
    step, half = np.float32(source / target), np.float32(0.5)
    at = np.maximum(step * (np.arange(kept.start, kept.stop, dtype=np.float32) + half) - half, np.float32(0))
    low = np.minimum(at.astype(np.intp), source - 1)
    return low, np.minimum(low + 1, source - 1), (at - low.astype(np.float32)).astype(np.float32)


def _squash_plain(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bilinear without antialiasing, pixel centres aligned, rounded to uint8."""
    rows_low, rows_high, rows_weight = _taps(image.shape[0], size)
    cols_low, cols_high, cols_weight = _taps(image.shape[1], size)
    source = image.astype(np.float32)
    wide = source[:, cols_low] * (1 - cols_weight)[:, None] + source[:, cols_high] * cols_weight[:, None]
    out = wide[rows_low] * (1 - rows_weight)[:, None, None] + wide[rows_high] * rows_weight[:, None, None]
    return np.rint(out).astype(np.uint8)


def _taps(source: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The two source positions and the second one's weight, for each output position."""
    at = np.maximum((np.arange(size) + 0.5) * (source / size) - 0.5, 0.0)
    low = np.minimum(at.astype(np.intp), source - 1)
    high = np.minimum(low + 1, source - 1)
    return low, high, (at - low).astype(np.float32)
