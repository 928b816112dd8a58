"""What a media file holds and when: streams, presentation times, truncation. Reads packets, decodes nothing.

Zero is the container's start time, as in ffmpeg, so that frames and samples share one clock.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import numpy as np
from numpy.typing import NDArray

from pipeline.decode.media import MediaProblem, Words, codec_words, last_words, open_media, own_words, rescale, shorten
from storage.schema import Status

MICROSECONDS = 1_000_000
TRUNCATION_SLACK_SECONDS = 0.25
"""A stream that ends this much before its declared end is truncated; rounding and edit lists cost less."""
_TS_DISCONT = 0x0200
"""libavformat's AVFMT_TS_DISCONT: for these formats ffmpeg starts its clock at the streams in use."""


@dataclass(frozen=True)
class VideoTrack:
    """The frames of one video stream, in presentation order.

    Attributes:
        stream_index: in the container.
        only_video: no other video stream, cover art included, is in the file.
        time_base: seconds a tick.
        pts: ``[frames]`` int64 ticks, as stored.
        durations: ``[frames]`` int64 ticks, 0 where unknown.
        zero_ticks: the container's zero.
        own_zero_ticks: the zero that ffmpeg takes when it reads this stream alone.
        frame_seconds: one over the average rate, for a last frame without duration.
        has_hidden_frames: the file holds frames that are decoded but not shown (edit lists), or lacks timestamps, or
            has frames with the same one.
        problem: why the frames past :attr:`end_seconds` cannot be read; empty if none are missing.
    """

    stream_index: int
    only_video: bool
    time_base: Fraction
    pts: NDArray[np.int64]
    durations: NDArray[np.int64]
    zero_ticks: int
    own_zero_ticks: int
    frame_seconds: float
    has_hidden_frames: bool = False
    problem: str = ""

    @property
    def pts_seconds(self) -> NDArray[np.float64]:
        """``[frames]`` seconds from the container's zero."""
        return np.asarray((self.pts - self.zero_ticks) * float(self.time_base))

    @property
    def end_seconds(self) -> float:
        """Where the last frame stops being on screen."""
        last = float(self.durations[-1] * self.time_base) or self.frame_seconds
        return float(self.pts_seconds[-1]) + last


@dataclass(frozen=True)
class AudioTrack:
    """One audio stream.

    Attributes:
        stream_index: in the container.
        channels: how many.
        zero_seconds: the container's zero on the stream's own clock.
        start_seconds: first sample, from the container's zero.
        end_seconds: end of the last packet that can be read.
        problem: why what follows cannot be read; empty if nothing is missing.
    """

    stream_index: int
    channels: int
    zero_seconds: float
    start_seconds: float
    end_seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Timeline:
    """What one file holds.

    Attributes:
        path: the file.
        video: the video stream in use, if there is one.
        audio: the audio stream in use, if there is one.
        duration_seconds: declared by the container, or measured where it declares nothing.
    """

    path: str
    video: VideoTrack | None
    audio: AudioTrack | None
    duration_seconds: float


def read_timeline(path: str) -> Timeline:
    """Read every packet's times, once.

    Args:
        path: a local media file.

    Raises:
        MediaProblem: ``MISSING``, ``UNREADABLE`` or ``NO_STREAMS``, with the demuxer's own words.
    """
    file = Path(path)
    if not file.is_file():
        what = "is a folder, not a media file" if file.is_dir() else "no such file"
        raise MediaProblem(Status.MISSING, what)
    if file.stat().st_size == 0:
        raise MediaProblem(Status.UNREADABLE, "the file is empty (0 bytes)")
    with codec_words() as words:
        try:
            with open_media(path) as container:
                return _read(path, container, words)
        except av.error.FFmpegError as problem:
            raise MediaProblem(Status.UNREADABLE, own_words(problem, words)) from problem
        except OSError as problem:
            raise MediaProblem(Status.UNREADABLE, problem.strerror or "the file cannot be opened") from problem


def _read(path: str, container: av.container.InputContainer, words: Words) -> Timeline:
    video, audio = _best_video(container), _best_audio(container)
    if video is None and audio is None:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise MediaProblem(Status.NO_STREAMS, f"neither audio nor video in the file (it holds {kinds})")
    packets: dict[int, list[tuple[int, int, bool]]] = {s.index: [] for s in (video, audio) if s is not None}
    timeless: set[int] = set()
    for packet in _packets(container, [s for s in (video, audio) if s is not None]):
        if packet.size == 0:
            continue
        if packet.pts is None:
            timeless.add(packet.stream_index)
            continue
        packets[packet.stream_index].append((packet.pts, packet.duration or 0, packet.is_discard))
    zero = container.start_time or 0
    video_track = audio_track = None
    if video is not None and (packets[video.index] or video.index in timeless):
        video_track = _video_track(path, container, video, packets[video.index], video.index in timeless, zero, words)
    if audio is not None and packets[audio.index]:
        audio_track = _audio_track(container, audio, packets[audio.index], zero, words)
    if video_track is None and audio_track is None:
        raise MediaProblem(Status.UNREADABLE, shorten(last_words(words) or "no packet of the file can be read"))
    measured = max(track.end_seconds for track in (video_track, audio_track) if track is not None)
    declared = (container.duration or 0) / MICROSECONDS
    return Timeline(path, video_track, audio_track, max(declared, measured) if declared else measured)


def _packets(container: av.container.InputContainer, streams: list[Any]) -> Iterator[Any]:
    """All packets that can be read; a demuxer that gives up in the middle ends the file there."""
    packets = container.demux(streams)
    while True:
        try:
            yield next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError:
            return


def _best_video(container: av.container.InputContainer) -> Any | None:
    """The stream ffmpeg would choose: default first, then most pixels. Cover art is no video."""
    shown = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    return max(shown, key=lambda s: (_is_default(s), (s.width or 0) * (s.height or 0), -s.index), default=None)


def _best_audio(container: av.container.InputContainer) -> Any | None:
    return max(container.streams.audio, key=lambda s: (_is_default(s), s.channels or 0, -s.index), default=None)


def _is_default(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.default)


def _video_track(
    path: str,
    container: av.container.InputContainer,
    stream: Any,
    packets: list[tuple[int, int, bool]],
    timeless: bool,
    zero_microseconds: int,
    words: Words,
) -> VideoTrack | None:
    shown = sorted(((pts, duration) for pts, duration, hidden in packets if not hidden), key=_presented)
    unclear = timeless or len({pts for pts, _ in shown}) < len(shown)
    if unclear:
        shown = _decoded_times(path, stream.index)
    if not shown:
        return None
    times = np.array(shown, dtype=np.int64)
    time_base = stream.time_base
    zero = rescale(zero_microseconds, Fraction(1, MICROSECONDS), time_base)
    alone = bool(container.format.flags & _TS_DISCONT) and stream.start_time is not None
    end = float((times[-1, 0] + times[-1, 1]) * time_base)
    return VideoTrack(
        stream_index=stream.index,
        only_video=len(container.streams.video) == 1,
        time_base=time_base,
        pts=times[:, 0],
        durations=times[:, 1],
        zero_ticks=zero,
        own_zero_ticks=stream.start_time if alone else zero,
        frame_seconds=float(1 / stream.average_rate) if stream.average_rate else 0.04,
        has_hidden_frames=unclear or len(shown) < len(packets),
        problem=_truncation(container, stream, end, words),
    )


def _audio_track(
    container: av.container.InputContainer,
    stream: Any,
    packets: list[tuple[int, int, bool]],
    zero_microseconds: int,
    words: Words,
) -> AudioTrack:
    shown = [(pts, duration) for pts, duration, hidden in packets if not hidden] or [(p, d) for p, d, _ in packets]
    zero = zero_microseconds / MICROSECONDS
    end = float(max(pts + duration for pts, duration in shown) * stream.time_base)
    return AudioTrack(
        stream_index=stream.index,
        channels=stream.channels or 1,
        zero_seconds=zero,
        start_seconds=float(min(pts for pts, _ in shown) * stream.time_base) - zero,
        end_seconds=end - zero,
        problem=_truncation(container, stream, end, words),
    )


def _truncation(container: av.container.InputContainer, stream: Any, end_seconds: float, words: Words) -> str:
    """Words about what is missing, where the container declares more than its packets give."""
    declared = _declared_end(container, stream)
    if declared is None or end_seconds >= declared - TRUNCATION_SLACK_SECONDS:
        return ""
    said = last_words(words)
    return shorten(
        f"the file is truncated: its {stream.type} ends at {end_seconds:.2f} s of {declared:.2f} s"
        + (f" ({said})" if said else "")
    )


def _declared_end(container: av.container.InputContainer, stream: Any) -> float | None:
    """End of a stream on its own clock, by what the header says; ``None`` where lavf would only guess."""
    name = container.format.name
    if name.startswith("mov,") and stream.duration:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    if name.startswith("matroska"):
        hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
        minutes, _, seconds = rest.partition(":")
        if seconds:
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return None


def _decoded_times(path: str, stream_index: int) -> list[tuple[int, int]]:
    """Times of the decoded frames, for files whose packets do not carry them; what was read before an error counts."""
    times: list[tuple[int, int]] = []
    with contextlib.suppress(av.error.FFmpegError), open_media(path) as container:
        stream: Any = container.streams[stream_index]
        times.extend((frame.pts, frame.duration or 0) for frame in container.decode(stream) if frame.pts is not None)
    return sorted(times, key=_presented)


def _presented(frame: tuple[int, int]) -> int:
    """Presentation order; frames with the same time stay in the order in which they came."""
    return frame[0]
