"""Given source frames of a file as RGB, in small chunks: decord first, PyAV for what decord gets wrong.

Measured here with decord2 3.4.0 and PyAV 18.1.0 against ``ffmpeg -pix_fmt rgb24``: decord has the right colours for
H.264, HEVC, VP9 and AV1, 8 and 10 bit, 4:2:0 and 4:4:4, limited and full range, BT.601, BT.709 and BT.2020, odd sizes
(equal to the last bit), and turns by 90, 180 and 270 degrees. It gets mirrored clips wrong, counts frames that an edit
list hides, cannot be told which of several video streams to read, refuses frames 96 and 144 pixels wide (of 42 widths
tried), and gives up at the first packet that is damaged. All of these go to PyAV, and so do files for which its
timestamps disagree with ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray
from PIL import Image

from pipeline.decode.decord_module import decord_module
from pipeline.decode.media import MediaProblem, codec_words, open_media, own_words
from pipeline.decode.timeline import VideoTrack
from storage.schema import Status

Rgb = NDArray[np.uint8]

CHUNK_BYTES = 32 << 20
"""Native frames held at once, unless a single frame is larger."""
_MAX_CHUNK_FRAMES = 32
_TIME_SLACK_SECONDS = 0.002
_SEEK_AFTER_SECONDS = 5.0
_MAX_LOST_SHARE = 0.1
"""More frames than this that cannot be decoded make the video broken; fewer are replaced by the ones before."""


@dataclass(frozen=True)
class CanvasView:
    """Frames to keep in a store: shrunk only where too large, at the top left of one fixed square canvas.

    Attributes:
        frames_per_second: frames on the clip's grid.
        short_side: largest shorter side, in pixels.
        size: height and width of the canvas, and largest longer side.
    """

    frames_per_second: int
    short_side: int = 256
    size: int = 456

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


@dataclass
class FrameReader:
    """Reads frames of one video stream.

    Args:
        path: the file.
        track: its timeline; indices count its frames in presentation order.

    Attributes:
        decoder: which decoder read the frames and its version, e.g. ``decord 3.4.0``.
        note: what people should know, e.g. frames that were damaged.
    """

    path: str
    track: VideoTrack
    decoder: str = ""
    note: str = ""

    def read(self, indices: Sequence[int]) -> Iterator[tuple[int, Rgb]]:
        """Decode some frames.

        Args:
            indices: source frames, ascending, each once.

        Yields:
            Index and ``[height, width, 3]`` uint8 RGB, upright, in the order asked for.

        Raises:
            MediaProblem: ``DECODE_ERROR`` with the codec's words.
        """
        done = 0
        size = self._size_for_decord()
        if size is not None:
            self.decoder = f"decord {metadata.version('decord2')}"
            for index, image in _read_with_decord(self.path, self.track, indices, size):
                done += 1
                yield index, image
        if done < len(indices):
            self.decoder = f"{self.decoder} + PyAV {av.__version__}" if done else f"PyAV {av.__version__}"
            yield from self._read_with_pyav(indices[done:], total=len(indices))

    def _size_for_decord(self) -> tuple[int, int] | None:
        """Height and width of the first frame, or ``None`` where decord is known to be wrong."""
        if not self.track.only_video or self.track.has_hidden_frames or self.track.problem:
            return None
        with codec_words() as words, open_media(self.path) as container:
            try:
                first: Any = next(container.decode(container.streams[self.track.stream_index]), None)
            except av.error.FFmpegError:
                return None
            if first is None or words or _mirrored(first):
                return None
            return first.height, first.width

    def _read_with_pyav(self, indices: Sequence[int], *, total: int) -> Iterator[tuple[int, Rgb]]:
        """As :meth:`read`. A frame that cannot be decoded is replaced by the one before it."""
        last: Rgb | None = None
        lost, waiting = 0, list(indices)
        with codec_words() as words:
            for index, frame in _decoded(self.path, self.track, indices[0]):
                while waiting and waiting[0] < index:
                    lost += 1
                    yield waiting.pop(0), _upright_rgb(frame) if last is None else last
                if waiting and waiting[0] == index:
                    last = _upright_rgb(frame)
                    yield waiting.pop(0), last
                if not waiting:
                    break
            said = "; ".join(dict.fromkeys(message.strip() for _, _, message in words[:2]))
        lost += len(waiting)
        if lost > max(_MAX_LOST_SHARE * total, 1) or last is None:
            raise MediaProblem(
                Status.DECODE_ERROR,
                f"{lost} of {total} frames cannot be decoded" + (f": {said}" if said else ""),
            )
        if lost:
            self.note = f"{lost} of {total} frames were damaged and repeat the one before" + (
                f" ({said})" if said else ""
            )
        for index in waiting:
            yield index, last


def _read_with_decord(
    path: str, track: VideoTrack, indices: Sequence[int], size: tuple[int, int]
) -> Iterator[tuple[int, Rgb]]:
    """Frames until decord fails, disagrees about the times or has enough; what is missing is PyAV's to read."""
    decord = decord_module()
    try:
        reader = decord.VideoReader(os.path.abspath(path), num_threads=1)
        if len(reader) != len(track.pts):
            return
        times = reader.get_frame_timestamp(list(indices))[:, 0]
        if np.abs(times - track.pts[list(indices)] * float(track.time_base)).max() > _TIME_SLACK_SECONDS:
            return
        step = min(max(CHUNK_BYTES // (size[0] * size[1] * 3), 1), _MAX_CHUNK_FRAMES)
        for start in range(0, len(indices), step):
            chunk = list(indices[start : start + step])
            yield from zip(chunk, reader.get_batch(chunk).asnumpy(), strict=True)
    except (decord.DECORDError, RuntimeError, StopIteration):
        # Its message is a C++ stack trace; PyAV reads the rest and says what is wrong in the codec's words.
        return


def _decoded(path: str, track: VideoTrack, first: int) -> Iterator[tuple[int, Any]]:
    """Frames with their indices, from the key frame before ``first`` on; damaged packets are skipped."""
    reached = 0
    with open_media(path) as container:
        stream: Any = container.streams[track.stream_index]
        stream.codec_context.thread_count = 1
        if int(track.pts[first] - track.pts[0]) * track.time_base > _SEEK_AFTER_SECONDS:
            container.seek(int(track.pts[first]), stream=stream, backward=True)
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError:
                return
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            except av.error.FFmpegError as problem:
                raise MediaProblem(Status.DECODE_ERROR, own_words(problem, [])) from problem
            for frame in frames:
                if frame.pts is None:
                    continue
                index = reached + int(np.searchsorted(track.pts[reached:], frame.pts))
                if index < len(track.pts) and track.pts[index] == frame.pts:
                    yield index, frame
                    reached = index + 1


def _orientation(frame: Any) -> tuple[int, int, int, int] | None:
    """The display matrix's turning part, or ``None`` where frames are shown as they are stored."""
    for data in frame.side_data:
        if data.type == Type.DISPLAYMATRIX:
            matrix = np.frombuffer(bytes(data), dtype=np.int32)
            a, b, c, d = (int(value) for value in matrix[[0, 1, 3, 4]])
            upright = a > 0 and d > 0 and abs(b) < a and abs(c) < d
            return None if upright else (a, b, c, d)
    return None


def _mirrored(frame: Any) -> bool:
    matrix = _orientation(frame)
    return matrix is not None and matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0


def _upright_rgb(frame: Any) -> Rgb:
    """RGB, turned and mirrored as the display matrix says (quarter turns; other angles go to the nearest)."""
    image: Rgb = frame.to_ndarray(format="rgb24", interpolation="BICUBIC")
    matrix = _orientation(frame)
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
