"""Pictures as RGB: upright, and shrunk to a canvas where they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray
from PIL import Image

Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class CanvasView:
    """Frames to keep in a store: shrunk only where too large, at the top left of one fixed square canvas.

    Attributes:
        frames_per_second: frames on the clip's grid.
        short_side: largest shorter side, in pixels.
        size: height and width of the canvas, and largest longer side.
        uniform: take the frames on screen at the grid's times, whatever the sampling of the clip.
    """

    frames_per_second: int
    short_side: int = 256
    size: int = 456
    uniform: bool = False

    def frames(self, clip_seconds: int) -> int:
        """How many frames a clip has in this view."""
        return self.frames_per_second * clip_seconds

    def apply(self, image: Rgb) -> tuple[Rgb, int, int]:
        """Shrink one frame.

        Args:
            image: ``[height, width, 3]`` uint8 RGB of any size.

        Returns:
            ``[size, size, 3]`` uint8, zero outside the frame, and the frame's height and width in it.
        """
        height, width = image.shape[:2]
        scale = min(1.0, self.short_side / min(height, width), self.size / max(height, width))
        if scale < 1.0:
            height, width = max(round(height * scale), 1), max(round(width * scale), 1)
            image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        canvas = np.zeros((self.size, self.size, 3), dtype=np.uint8)
        canvas[:height, :width] = image
        return canvas, height, width


class RgbConverter:
    """Makes RGB of a stream's PyAV frames, to the last bit as ``ffmpeg -pix_fmt rgb24`` does.

    The conversion is libavfilter's own: a plain ``to_ndarray`` differs from it by up to 77 levels for 10 bits, and
    starts threads for each picture.
    """

    def __init__(self) -> None:
        self._kind: tuple[Any, ...] = ()
        self._graph: av.filter.Graph | None = None

    def upright(self, frame: Any) -> Rgb:
        """One frame, turned and mirrored as its display matrix says (other angles go to the nearest quarter).

        Returns:
            ``[height, width, 3]`` uint8.
        """
        graph = self._graph_for(frame)
        graph.push(frame)
        converted: Any = graph.pull()
        return _turned(converted.to_ndarray(), _orientation(frame))

    def _graph_for(self, frame: Any) -> av.filter.Graph:
        """The graph of frames of this size, format and colour space; made anew when these change."""
        kind = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if self._graph is None or kind != self._kind:
            graph = av.filter.Graph()
            graph.threads = 1
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
            )
            graph.link_nodes(source, graph.add("format", "pix_fmts=rgb24"), graph.add("buffersink")).configure()
            self._kind, self._graph = kind, graph
        return self._graph


def _turned(image: Rgb, matrix: tuple[int, int, int, int] | None) -> Rgb:
    """Turn by quarters and mirror, as a display matrix says."""
    if matrix is None:
        return image
    across, down = matrix[0], matrix[3]
    if abs(matrix[1]) > abs(matrix[0]):
        # Stored columns become rows: x' = c y, y' = b x.
        image = image.transpose(1, 0, 2)
        across, down = matrix[2], matrix[1]
    if across < 0:
        image = image[:, ::-1]
    if down < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)


def is_mirrored(frame: Any) -> bool:
    """Whether a PyAV frame's display matrix mirrors it."""
    matrix = _orientation(frame)
    return matrix is not None and matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0


def _orientation(frame: Any) -> tuple[int, int, int, int] | None:
    """The display matrix's turning part, or ``None`` where frames are shown as they are stored."""
    for data in frame.side_data:
        if data.type == Type.DISPLAYMATRIX:
            matrix = np.frombuffer(bytes(data), dtype=np.int32)
            a, b, c, d = (int(value) for value in matrix[[0, 1, 3, 4]])
            upright = a > 0 and d > 0 and abs(b) < a and abs(c) < d
            return None if upright else (a, b, c, d)
    return None
