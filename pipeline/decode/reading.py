"""Reads a file in one pass: packets in order, each to the decoder of its stream, all on one clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import av.container

from pipeline.decode.clock import Clock
from pipeline.decode.media import Words, codec_words, media_packets, open_media
from pipeline.decode.seeking import Entry, SeekFailed, seek_to_span
from pipeline.decode.tracks import Timeline


class Reader(Protocol):
    """Takes the packets of one stream."""

    @property
    def done(self) -> bool:
        """Whether it needs no more of them."""
        ...

    def take(self, packet: Any | None) -> None:
        """Take a packet; ``None`` at the end of the file."""
        ...


@dataclass(frozen=True)
class Opened:
    """A file at the place where reading begins.

    Attributes:
        container: PyAV's.
        words: what libav says, as it grows.
        entry: where reading begins.
    """

    container: av.container.InputContainer
    words: Words
    entry: Entry

    def stream(self, index: int) -> Any:
        """One of its streams."""
        return self.container.streams[index]


MakeReaders = Callable[[Opened], dict[int, Reader]]
"""Gives the readers of a pass, by stream index."""


def read_streams(timeline: Timeline, make: MakeReaders, *, seek_seconds: float = 0.0) -> None:
    """Give packets to readers until all are done or the file ends.

    Args:
        timeline: of the file.
        make: called when the file is open.
        seek_seconds: start of the span, from the container's zero: reading may begin just before it. 0 for the start
            of the file.
    """
    if seek_seconds > 0:
        try:
            _pass(timeline, make, seek_seconds)
            return
        except SeekFailed:  # the file is opened again and read from its start
            pass
    _pass(timeline, make, 0.0)


def _pass(timeline: Timeline, make: MakeReaders, seek_seconds: float) -> None:
    with (
        codec_words() as words,
        open_media(timeline.path, max_pixels=timeline.max_pixels, probe_all=timeline.probe_all) as container,
    ):
        entry = seek_to_span(container, timeline, seek_seconds) if seek_seconds > 0 else Entry()
        readers = make(Opened(container, words, entry))
        clock = Clock(jumps=timeline.jumps)
        video = timeline.video.stream_index if timeline.video else -1
        passed, sound_pts = 0, entry.sound_pts
        # The clock has to see what the scan saw, whichever of the streams are read.
        tracks = [track.stream_index for track in (timeline.video, timeline.audio) if track is not None]
        for packet in media_packets(container, [container.streams[index] for index in tracks]):
            shift = clock.shift(packet.stream_index, packet.dts, packet.duration or 0, packet.time_base)
            if packet.stream_index == video and passed < entry.skipped:
                passed += 1
                continue
            reader = readers.get(packet.stream_index)
            if reader is None or reader.done:
                continue
            if sound_pts is not None and packet.stream_index != video:
                if packet.pts is None or packet.pts > sound_pts:
                    raise SeekFailed
                sound_pts = None
            if shift:
                packet.pts = None if packet.pts is None else packet.pts + shift
                packet.dts = None if packet.dts is None else packet.dts + shift
            reader.take(packet)
            if all(reader.done for reader in readers.values()):
                return
        for reader in readers.values():
            if not reader.done:
                reader.take(None)
