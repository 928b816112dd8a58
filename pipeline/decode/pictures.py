"""The pictures of one stream, decoded in order: each has the time that the decoder gave with it.

Times are first taken from the packets. As the pictures come, the decoder's own times are compared with these, one by
one; where they differ (guessed or absent timestamps, damage, pictures that need an absent reference), the stream is
measured: decoded once for its times alone, and then again for its pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.decode.frames import Rgb, RgbConverter
from pipeline.decode.media import Words
from pipeline.decode.packets import NO_TIME
from pipeline.decode.tracks import VideoTrack


class OtherTimes(Exception):
    """The decoder's times are not those that were expected."""


@dataclass
class Damage:
    """What a codec complained about.

    Attributes:
        packets: how many packets it said something about, refused, or gave back as corrupt.
        marked: how many packets the container marks as damaged.
        words: what it said, level, name and text.
    """

    packets: int = 0
    marked: int = 0
    words: list[tuple[int, str, str]] = field(default_factory=list)


class _Decoder:
    """Feeds packets to a codec and notes damage.

    Args:
        stream: PyAV's, of the file that is read.
        words: what libav says, as it grows.
        first_pts: frames from before are dropped: after a seek they may need pictures that were not decoded.
        told_from: complaints about packets from before are not noted.
        max_pixels: of a frame.
    """

    def __init__(
        self, stream: Any, words: Words, *, first_pts: int | None, told_from: int | None, max_pixels: int
    ) -> None:
        self._codec = stream.codec_context
        self._codec.thread_count = 1
        self._codec.options = {"max_pixels": str(max_pixels)}
        self._words = words
        self._first_pts, self._told_from = first_pts, told_from
        self.damage = Damage()

    def frames(self, packet: Any | None) -> list[Any]:
        """Frames that come out when a packet goes in; ``None`` for the last ones."""
        said = len(self._words)
        refused = False
        try:
            found = list(self._codec.decode(packet))
        except av.error.EOFError:
            found = []
        except av.error.FFmpegError:
            found, refused = [], True
        early = packet is not None and _is_before(packet.pts, self._told_from)
        corrupt = any(frame.is_corrupt for frame in found)
        self.damage.marked += packet is not None and packet.is_corrupt and not early
        if not early and (refused or corrupt or len(self._words) > said):
            self.damage.packets += 1
            self.damage.words += list(self._words[said : said + 2])
        return [frame for frame in found if not _is_before(frame.pts, self._first_pts)]


def _is_before(pts: int | None, first: int | None) -> bool:
    return first is not None and (pts is None or pts < first)


class PictureReader:
    """Takes packets in file order and hands over the pictures that are wanted.

    Args:
        stream: PyAV's, of the file that is read.
        track: the expected frames.
        wanted: indices of frames, ascending, each once.
        deliver: called with the index and ``[height, width, 3]`` uint8 RGB, upright.
        words: what libav says, as it grows.
        first: index of the frame that decoding begins with; 0 unless there was a seek. What a codec says about pictures
            from then to the first that is wanted is not noted: after a seek it misses what it was never given.
        max_pixels: of a frame; larger ones are refused by the codec.
    """

    def __init__(
        self,
        stream: Any,
        track: VideoTrack,
        wanted: Sequence[int],
        deliver: Callable[[int, Rgb], None],
        words: Words,
        *,
        first: int = 0,
        max_pixels: int,
    ) -> None:
        self._track, self._deliver = track, deliver
        self._wanted = list(reversed(wanted))
        self._next = first
        self._rgb = RgbConverter()
        first_pts = int(track.decoder_pts[first]) if first else None
        told_from = int(track.decoder_pts[wanted[0]]) if first and wanted else None
        self._decoder = _Decoder(stream, words, first_pts=first_pts, told_from=told_from, max_pixels=max_pixels)

    @property
    def done(self) -> bool:
        """Whether all wanted pictures have been handed over."""
        return not self._wanted

    @property
    def damage(self) -> Damage:
        """What the codec complained about so far."""
        return self._decoder.damage

    def take(self, packet: Any | None) -> None:
        """Decode a packet; ``None`` at the end of the file.

        Raises:
            OtherTimes: If a frame has another time than expected, or frames are missing at the end.
        """
        for frame in self._decoder.frames(packet):
            if self.done:
                return
            pts = NO_TIME if frame.pts is None else frame.pts
            if self._next >= len(self._track.decoder_pts) or pts != self._track.decoder_pts[self._next]:
                raise OtherTimes
            if self._wanted[-1] == self._next:
                self._deliver(self._wanted.pop(), self._rgb.upright(frame))
            self._next += 1
        if packet is None and not self.done:
            raise OtherTimes


class TimeReader:
    """Takes packets in file order and notes the times of the frames that they give.

    Args:
        stream: PyAV's, of the file that is read.
        track: as the packets promise it.
        words: what libav says, as it grows.
        first: index of the frame that decoding begins with.
        stop_pts: frames later than this are not needed.
        max_pixels: of a frame.
    """

    def __init__(
        self, stream: Any, track: VideoTrack, words: Words, *, first: int, stop_pts: int, max_pixels: int
    ) -> None:
        self._track, self._first, self._stop_pts = track, first, stop_pts
        first_pts = int(track.decoder_pts[first]) if first else None
        self._decoder = _Decoder(stream, words, first_pts=first_pts, told_from=first_pts, max_pixels=max_pixels)
        self._rows: list[tuple[int, int, int]] = []
        self.done = False

    @property
    def damage(self) -> Damage:
        """What the codec complained about so far."""
        return self._decoder.damage

    def take(self, packet: Any | None) -> None:
        """Decode a packet; ``None`` at the end of the file."""
        for frame in self._decoder.frames(packet):
            times = (frame.pts, frame.dts)
            pts, dts = (NO_TIME if time is None else time for time in times)
            self._rows.append((pts, dts, frame.duration or 0))
            self.done = self.done or (frame.pts is not None and frame.pts > self._stop_pts)

    @property
    def frames(self) -> int:
        """How many frames came out."""
        return len(self._rows)

    @property
    def begins_whole(self) -> bool:
        """Whether the first frame is the one that was aimed for, and nothing was said against it."""
        return bool(self._rows) and self._rows[0][0] == self._track.decoder_pts[self._first]

    def measured(self) -> VideoTrack:
        """The track with the decoder's times where frames were decoded, and the packets' before and after."""
        track, first = self._track, self._first
        rows = np.array(self._rows, dtype=np.int64).reshape(-1, 3)
        times = _without_gaps(rows[:, 0], rows[:, 2], track)
        newest = int(times.max()) if len(times) else int(track.pts[first]) - 1
        past = int(np.searchsorted(track.pts, newest, side="right")) if self.done else len(track.pts)
        dump = _dump_ticks(times, _without_gaps(rows[:, 1], rows[:, 2], track)) + int(
            track.dump_pts[first] - track.pts[first]
        )

        def spliced(before: NDArray[Any], middle: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([before[:first], middle, before[past:]])

        return replace(
            track,
            pts=spliced(track.pts, np.sort(times)),
            durations=spliced(track.durations, rows[:, 2]),
            decoder_pts=spliced(track.decoder_pts, rows[:, 0]),
            dump_pts=spliced(track.dump_pts, dump),
            measured=True,
            lost=max(past - first - len(rows), 0),
        )


def _without_gaps(stored: NDArray[np.int64], durations: NDArray[np.int64], track: VideoTrack) -> NDArray[np.int64]:
    """Times of all frames in the decoder's order; one without a time follows the frame before it."""
    usual = max(round(track.frame_seconds / track.time_base), 1)
    times = stored.copy()
    for index in np.flatnonzero(stored == NO_TIME):
        before = index - 1
        step = int(durations[before]) or usual if index else 0
        times[index] = times[before] + step if index else track.zero_ticks
    return times


def _dump_ticks(times: NDArray[np.int64], decoding: NDArray[np.int64]) -> NDArray[np.int64]:
    """What ffmpeg takes for the frames' times, in the decoder's order.

    A time that is not before the next frame's was guessed by the demuxer; ffmpeg takes the decoding time then. Where
    decoding times run forward all along and presentation times do not, it takes these throughout.
    """
    not_before = np.append(np.diff(times) <= 0, False)
    if not_before.any() and bool((np.diff(decoding) > 0).all()):
        return decoding
    return np.where(not_before & (decoding < times), decoding, times)
