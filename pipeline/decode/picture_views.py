"""Writes the pictures that each view takes of a track into the clip's buffer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from extractors.views import FrameView
from pipeline.decode.clip_buffer import BufferLayout, DecodeRequest
from pipeline.decode.frames import CanvasView, Rgb
from pipeline.decode.sampling import GridFrames, published_grid, uniform_grid
from pipeline.decode.span import ROUNDING_SECONDS, Span
from pipeline.decode.tracks import VideoTrack


@dataclass(frozen=True)
class PictureViews:
    """The views of one clip and the frames that stand at their positions.

    Attributes:
        buffer: the clip's buffer.
        layout: of the buffer.
        views: what is wanted.
        grids: for each view, its frames.
    """

    buffer: Any
    layout: BufferLayout
    views: tuple[FrameView | CanvasView, ...]
    grids: tuple[GridFrames, ...]

    @property
    def wanted(self) -> list[int]:
        """Indices of the track's frames that some view takes, ascending."""
        return sorted({int(index) for grid in self.grids for index in grid.index})

    def write(self, index: int, image: Rgb) -> None:
        """Write a frame wherever it stands."""
        for view, grid in zip(self.views, self.grids, strict=True):
            rows = np.flatnonzero(grid.index == index)
            if not len(rows):
                continue
            if isinstance(view, FrameView):
                self.layout.array(self.buffer, view, "pixels")[rows] = view.apply(image)
                continue
            canvas, height, width = view.apply(image)
            self.layout.array(self.buffer, view, "pixels")[rows] = canvas
            self.layout.array(self.buffer, view, "heights")[rows] = height
            self.layout.array(self.buffer, view, "widths")[rows] = width

    def write_masks(self) -> None:
        """Write which positions lie within the clip."""
        for view, grid in zip(self.views, self.grids, strict=True):
            self.layout.array(self.buffer, view, "valid")[:] = grid.valid


def views_of(request: DecodeRequest) -> tuple[FrameView | CanvasView, ...]:
    """All picture views of a request."""
    return (*request.frame_views, *request.keep)


def picture_views(
    request: DecodeRequest, buffer: Any, layout: BufferLayout, track: VideoTrack, span: Span
) -> PictureViews:
    """Choose the frames of every view."""
    views = views_of(request)
    return PictureViews(buffer, layout, views, tuple(_grid(request, track, view, span) for view in views))


def _grid(request: DecodeRequest, track: VideoTrack, view: FrameView | CanvasView, span: Span) -> GridFrames:
    frames = view.frames(request.clip_seconds)
    if request.sampling == "uniform" or (isinstance(view, CanvasView) and view.uniform):
        return uniform_grid(
            track.pts_seconds,
            frames_per_second=view.frames_per_second,
            frames=frames,
            start_seconds=span.start,
            end_seconds=min(track.end_seconds, span.stop),
        )
    if span.whole:
        return published_grid(track.dump_pts, track.durations, time_base=track.time_base, frames=frames)
    # The scripts dumped files that were cut from the whole video beforehand: zero is the start of the cut.
    seconds = track.pts_seconds
    (inside,) = np.nonzero((seconds >= span.start - ROUNDING_SECONDS) & (seconds < span.stop - ROUNDING_SECONDS))
    zero = track.zero_ticks + round(span.start / track.time_base)
    part = published_grid(track.pts[inside] - zero, track.durations[inside], time_base=track.time_base, frames=frames)
    return GridFrames(inside[part.index], part.valid)
