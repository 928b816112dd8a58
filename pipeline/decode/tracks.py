"""Result of a scan of a media file: one video track, one audio track, one clock."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.decode.media import MAX_PIXELS
from pipeline.decode.packets import PacketTable


@dataclass(frozen=True)
class VideoTrack:
    """The frames of one video stream, in presentation order.

    Attributes:
        stream_index: in the container.
        only_video: no other video stream, cover art included, is in the file.
        time_base: seconds a tick.
        pts: ``[frames]`` int64 ticks, ascending, on the corrected clock.
        durations: ``[frames]`` int64 ticks, 0 where unknown.
        decoder_pts: ``[frames]`` int64 ticks that the decoder gives with the frames, in its order;
            :data:`~pipeline.decode.packets.NO_TIME` where it gives none. Equal to :attr:`pts` in most files.
        dump_pts: ``[frames]`` int64 ticks on the clock of an ffmpeg that reads this stream alone; its zero is 0.
        zero_ticks: the container's zero on the clock of :attr:`pts`.
        frame_seconds: one over the average rate, for a last frame without duration.
        packets: what the times were read from.
        measured: the times are those of decoded frames; otherwise they are the packets', and decoding confirms them.
        lost: frames that the packets promise and the decoder does not give, where the times are measured.
        problem: why the frames past :attr:`end_seconds` cannot be read; empty if none are missing.
    """

    stream_index: int
    only_video: bool
    time_base: Fraction
    pts: NDArray[np.int64]
    durations: NDArray[np.int64]
    decoder_pts: NDArray[np.int64]
    dump_pts: NDArray[np.int64]
    zero_ticks: int
    frame_seconds: float
    packets: PacketTable
    measured: bool = False
    lost: int = 0
    problem: str = ""

    @property
    def is_doubtful(self) -> bool:
        """Whether two frames have one time: then the demuxer guessed some of them."""
        return bool((np.diff(self.pts) <= 0).any())

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
        time_base: seconds a tick.
        zero_ticks: the container's zero.
        start_seconds: first sample, from the container's zero.
        end_seconds: end of the last packet that can be read.
        packets: what the times were read from.
        problem: why what follows cannot be read; empty if nothing is missing.
    """

    stream_index: int
    time_base: Fraction
    zero_ticks: int
    start_seconds: float
    end_seconds: float
    packets: PacketTable
    problem: str = ""


@dataclass(frozen=True)
class Timeline:
    """What one file holds.

    Attributes:
        path: the file.
        video: the video stream in use, if there is one that can be decoded.
        audio: the audio stream in use, if there is one that can be decoded.
        duration_seconds: of the packets; of what the header declares where the file is truncated.
        jumps: whether timestamps of the format may jump, see :mod:`pipeline.decode.clock`.
        shifted: whether some do.
        max_pixels: larger pictures are refused, whenever the file is opened.
        probe_all: whether the file must be probed to its end when it is opened.
        no_video: why there is no video, for people.
        no_audio: why there is no audio.
        note: what people should know of the file.
    """

    path: str
    video: VideoTrack | None
    audio: AudioTrack | None
    duration_seconds: float
    jumps: bool = False
    shifted: bool = False
    max_pixels: int = MAX_PIXELS
    probe_all: bool = False
    no_video: str = ""
    no_audio: str = ""
    note: str = ""
