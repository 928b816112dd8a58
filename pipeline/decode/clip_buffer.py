"""The layout of a decoded clip in one flat buffer: the same for every clip of a run.

The buffer lies in memory that the worker and the reader share. A clip of 80x256x340x3 bytes arrives in 8 ms that way;
as a pickle through a ``multiprocessing.Pipe`` it takes 115 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.base import Frames, Units, Waveform
from extractors.failure import Failure
from extractors.views import AudioView, FrameView
from pipeline.decode.decoder import Decoder as Decoder
from pipeline.decode.frames import CanvasView
from pipeline.decode.media import MAX_PIXELS
from storage.schema import Sampling, Status

_ALIGNMENT = 64


@dataclass(frozen=True)
class UnitsView:
    """The units of an audio backbone, such as log-mels, made by the process that decodes the sound.

    Attributes:
        backbone: its name.
        sound: what they are made from.
        shape: ``[units, ...]``, the same for every clip.
        dtype: numpy's name of their type.
    """

    backbone: str
    sound: AudioView
    shape: tuple[int, ...]
    dtype: str


AnyView = FrameView | AudioView | CanvasView | UnitsView


@dataclass(frozen=True)
class DecodeShape:
    """What every clip of a run is decoded to.

    Attributes:
        clip_seconds: length of every clip.
        frame_views: what the visual backbones want; may be empty.
        audio_views: what the audio backbones want; may be empty.
        keep: pictures for the store; may be empty.
        units: made from the audio views; may be empty.
    """

    clip_seconds: int
    frame_views: tuple[FrameView, ...] = ()
    audio_views: tuple[AudioView, ...] = ()
    keep: tuple[CanvasView, ...] = ()
    units: tuple[UnitsView, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of one clip."""
        return buffer_layout(self).nbytes


@dataclass(frozen=True)
class DecodeRequest:
    """One clip to decode. Plain data, so that it can travel to another process.

    Attributes:
        clip_id: for the report.
        path: local media file, or the address of one in a bucket or a tar.
        start_seconds: where the clip starts in its source video.
        end_seconds: where it ends there; ``None`` for as long as clips are.
        clip_seconds: length of every clip of the run.
        sampling: ``uniform`` or ``published``.
        frame_views: what the visual backbones want.
        audio_views: what the audio backbones want.
        keep: pictures for the store; may be empty.
        decoder: ``pyav``; ``decord`` for frames by decord or not at all, ``auto`` for decord where it is proven right.
        max_pixels: larger pictures are refused.
        units: made from the audio views; may be empty.
    """

    clip_id: str
    path: str
    start_seconds: float = 0.0
    end_seconds: float | None = None
    clip_seconds: int = 10
    sampling: Sampling = "uniform"
    frame_views: tuple[FrameView, ...] = ()
    audio_views: tuple[AudioView, ...] = ()
    keep: tuple[CanvasView, ...] = ()
    decoder: Decoder = "pyav"
    max_pixels: int = MAX_PIXELS
    units: tuple[UnitsView, ...] = ()

    @property
    def shape(self) -> DecodeShape:
        """What it is decoded to."""
        return DecodeShape(self.clip_seconds, self.frame_views, self.audio_views, self.keep, self.units)


@dataclass(frozen=True)
class DecodeReport:
    """How the decoding of one clip ended.

    Attributes:
        status: the clip's status.
        reason: in words for people; may hold a note where the status is ``OK``, else empty there.
        has_video: frames of this clip can be used.
        has_audio: sound of this clip can be used.
        decoder: what read the frames, e.g. ``PyAV 18.1.0``; empty where no frames were read.
        seconds: spent on it.
        source_seconds: duration of the file; 0 where unknown.
        fingerprint: SHA-256 of the file's bytes and the span; empty where there is no file.
        size_bytes: of the file.
        mtime_ns: of the file; 0 where it is in a bucket or a tar.
        no_units: by backbone, why its units are not there though the sound is.
    """

    status: Status
    reason: str = ""
    has_video: bool = False
    has_audio: bool = False
    decoder: str = ""
    seconds: float = 0.0
    source_seconds: float = 0.0
    fingerprint: str = ""
    size_bytes: int = 0
    mtime_ns: int = 0
    no_units: Mapping[str, Failure] = field(default_factory=dict)


@dataclass(frozen=True)
class KeptFrames:
    """Frames for the store.

    Attributes:
        pixels: ``[frames, size, size, 3]`` uint8 RGB, each at the top left, zero elsewhere.
        valid: ``[frames]`` bool.
        heights: ``[frames]`` int32, true height in pixels.
        widths: ``[frames]`` int32, true width in pixels.
        frames_per_second: the grid's rate.
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    heights: NDArray[np.int32]
    widths: NDArray[np.int32]
    frames_per_second: int


@dataclass
class DecodedClip:
    """One clip's arrays, as views into a buffer: valid until :meth:`release`.

    Attributes:
        request: what was asked for.
        report: how it ended.
        frames: by view; empty where the clip has no usable video.
        waveforms: by view; empty where the clip has no usable sound.
        kept: pictures for the store, by view; empty where the clip has no usable video.
        units: by backbone, those that were asked for; empty where the clip has no usable sound.
    """

    request: DecodeRequest
    report: DecodeReport
    frames: dict[FrameView, Frames] = field(default_factory=dict)
    waveforms: dict[AudioView, Waveform] = field(default_factory=dict)
    kept: dict[CanvasView, KeptFrames] = field(default_factory=dict)
    units: dict[str, Units] = field(default_factory=dict)
    on_release: Callable[[], None] | None = None

    def release(self) -> None:
        """Give the buffer back and drop the arrays. A second call does nothing."""
        self.frames, self.waveforms, self.kept, self.units = {}, {}, {}, {}
        give_back, self.on_release = self.on_release, None
        if give_back is not None:
            give_back()


@dataclass(frozen=True)
class BufferField:
    """One array in a buffer."""

    view: AnyView
    name: str
    offset: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class BufferLayout:
    """Where each array of a clip lies.

    Attributes:
        fields: in order of offset.
        nbytes: of the whole.
    """

    fields: tuple[BufferField, ...]
    nbytes: int

    @cached_property
    def by_key(self) -> dict[tuple[AnyView, str], BufferField]:
        """Fields by view and name."""
        return {(entry.view, entry.name): entry for entry in self.fields}

    def array(self, buffer: Any, view: AnyView, name: str) -> NDArray[Any]:
        """A writable view into ``buffer``, which holds at least :attr:`nbytes` bytes."""
        entry = self.by_key[view, name]
        return np.ndarray(entry.shape, dtype=entry.dtype, buffer=buffer, offset=entry.offset)


@lru_cache(maxsize=16)
def buffer_layout(shape: DecodeShape) -> BufferLayout:
    """Offsets of every array; depends on nothing but ``shape``."""
    wanted: list[tuple[AnyView, str, tuple[int, ...], str]] = []
    for view in shape.frame_views:
        frames = view.frames(shape.clip_seconds)
        wanted += [(view, "pixels", (frames, view.size, view.size, 3), "u1"), (view, "valid", (frames,), "?")]
    for keep in shape.keep:
        frames = keep.frames(shape.clip_seconds)
        wanted += [(keep, "pixels", (frames, keep.size, keep.size, 3), "u1"), (keep, "valid", (frames,), "?")]
        wanted += [(keep, "heights", (frames,), "<i4"), (keep, "widths", (frames,), "<i4")]
    for sound in shape.audio_views:
        wanted += [(sound, "samples", (sound.sample_rate_hz * shape.clip_seconds,), "<f4")]
        wanted += [(sound, "valid_samples", (1,), "<i8")]
    for units in shape.units:
        wanted += [(units, "data", units.shape, units.dtype), (units, "valid", units.shape[:1], "?")]
    offset, fields = 0, []
    for view_of_field, name, dims, dtype in wanted:
        fields.append(BufferField(view_of_field, name, offset, dims, dtype))
        size = math.prod(dims) * np.dtype(dtype).itemsize
        offset += math.ceil(size / _ALIGNMENT) * _ALIGNMENT
    return BufferLayout(tuple(fields), max(offset, _ALIGNMENT))


def open_buffer(
    request: DecodeRequest, buffer: Any, report: DecodeReport, *, on_release: Callable[[], None] | None = None
) -> DecodedClip:
    """The arrays of a decoded clip, without copying.

    Args:
        request: what was asked for.
        buffer: as :func:`~pipeline.decode.clip.decode_clip` filled.
        report: what it gave back.
        on_release: called once by :meth:`DecodedClip.release`.
    """
    layout = buffer_layout(request.shape)
    clip = DecodedClip(request, report, on_release=on_release)
    if report.has_video:
        for view in request.frame_views:
            pixels, valid = (layout.array(buffer, view, name) for name in ("pixels", "valid"))
            clip.frames[view] = Frames(pixels, valid, view.frames_per_second)
        for keep in request.keep:
            clip.kept[keep] = KeptFrames(
                pixels=layout.array(buffer, keep, "pixels"),
                valid=layout.array(buffer, keep, "valid"),
                heights=layout.array(buffer, keep, "heights"),
                widths=layout.array(buffer, keep, "widths"),
                frames_per_second=keep.frames_per_second,
            )
    if report.has_audio:
        for sound in request.audio_views:
            count = int(layout.array(buffer, sound, "valid_samples")[0])
            clip.waveforms[sound] = Waveform(layout.array(buffer, sound, "samples"), sound.sample_rate_hz, count)
        for units in request.units:
            if units.backbone not in report.no_units:
                clip.units[units.backbone] = Units(
                    layout.array(buffer, units, "data"), layout.array(buffer, units, "valid")
                )
    return clip
