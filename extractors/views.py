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
            ``squash`` ignores the aspect ratio: it scales height and width to ``size``, or to ``short_side`` where
            that is given, and cuts the centre.
        short_side: see ``geometry``; 0 only for ``squash``.
        interpolation: ``bilinear`` or ``bicubic``.
        antialias: false only for ``squash`` to ``size`` with ``bilinear``, as tensor resizes were before torchvision
            0.17.
        corner: how the corner of the centre is brought to a whole pixel: ``even`` rounds halves to even numbers, as
            torchvision does, ``floor`` rounds down, as transformers does.
    """

    frames_per_second: int
    size: int
    geometry: Literal["crop", "squash"] = "crop"
    short_side: int = 0
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    corner: Corner = "even"

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
        if self.geometry == "squash":
            if not self.antialias:
                return _squash_plain(image, self.size)
            side = self.short_side or self.size
            return self._kept(image, side, side)
        return self._kept(image, *self._scaled(image.shape[:2]))

    def _scaled(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width after scaling the shorter side; the longer is cut to a whole number, as torchvision does."""
        height, width = shape
        if height <= width:
            return self.short_side, int(self.short_side * width / height)
        return int(self.short_side * height / width), self.short_side

    def _kept(self, image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        """Resize and cut the centre; a side shorter than ``size`` is padded with black."""
        from extractors.resize import resize_part  # listing backbones needs neither Pillow nor numba

        size = self.size
        rows, columns = min(height, size), min(width, size)
        if self.corner == "floor":
            top, left = (height - rows) // 2, (width - columns) // 2
        else:
            top, left = round((height - rows) / 2.0), round((width - columns) / 2.0)
        how = self.interpolation
        part = resize_part(image, height, width, top=top, left=left, rows=rows, columns=columns, interpolation=how)
        if (rows, columns) == (size, size):
            return part
        canvas = np.zeros((size, size, 3), dtype=np.uint8)
        above, before = (size - rows) // 2, (size - columns) // 2
        canvas[above : above + rows, before : before + columns] = part
        return canvas

    def to_json(self) -> dict[str, Any]:
        """Plain data for the provenance. A corner as it ever was is left out: older stores do not name it."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("corner", "even")}


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
