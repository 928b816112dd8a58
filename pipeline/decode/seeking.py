"""Finds where to begin reading for a span deep in a long file, and checks that a seek led there.

A seek is never trusted: the packet that it leads to must be one that the scan has seen, at or before the key packet
that was aimed for. What a seek cannot prove is read from the start of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import av.container
import numpy as np

from pipeline.decode.media import media_packets
from pipeline.decode.packets import NO_TIME, PacketTable
from pipeline.decode.tracks import AudioTrack, Timeline, VideoTrack

_WORTH_SECONDS = 10.0
"""A span that begins earlier than this is read from the start of the file."""
_EARLIER_SECONDS = (1.0, 10.0, 60.0)
"""How long before the span to aim for, one after the other: sound and repeated references need a run-up."""
_RUN_UP_SECONDS = 0.2
"""Of sound before the span."""


class SeekFailed(Exception):
    """No seek led where it should; the file has to be read from its start."""


@dataclass(frozen=True)
class Entry:
    """Where reading begins.

    Attributes:
        first_frame: index of the first frame on the video track that comes out whole; 0 without video.
        skipped: packets of the video stream to pass over until its key packet.
        sound_pts: where the sound must have begun, in ticks of its stream; ``None`` if that was not left to a seek.
    """

    first_frame: int = 0
    skipped: int = 0
    sound_pts: int | None = None


def seek_to_span(container: av.container.InputContainer, timeline: Timeline, start_seconds: float) -> Entry:
    """Move a file that was just opened to somewhere before a span, if that is worth it and can be proven right.

    Args:
        container: open at its start; where a seek fails it is left anywhere, see Raises.
        timeline: of the file.
        start_seconds: of the span, from the container's zero.

    Raises:
        SeekFailed: If the file has to be opened again, since no seek led where it should.
    """
    anchor = timeline.video or timeline.audio
    if anchor is None or start_seconds < _WORTH_SECONDS or not _can_seek(timeline, anchor):
        return Entry()
    stream = container.streams[anchor.stream_index]
    for earlier in _EARLIER_SECONDS:
        aim = _key_before(anchor, start_seconds - earlier)
        if aim is None:
            break
        found = _key_after_landing(container, stream, anchor.packets, aim)
        if found is not None and found[0] <= aim:
            container.seek(int(anchor.packets.pts[aim]), stream=stream, backward=True)
            first, skipped = found if timeline.video else (0, 0)
            return Entry(_frame_of(anchor, first), skipped, _sound_before(timeline.audio, start_seconds))
    raise SeekFailed


def _can_seek(timeline: Timeline, anchor: VideoTrack | AudioTrack) -> bool:
    """Times that are guessed, moved or measured tell nothing after a seek."""
    if timeline.shifted or (isinstance(anchor, VideoTrack) and (anchor.decoder_pts == NO_TIME).any()):
        return False
    packets = anchor.packets
    return bool((packets.pts != NO_TIME).all() and not packets.hidden.any())


def _key_before(anchor: VideoTrack | AudioTrack, seconds: float) -> int | None:
    """The last key packet at or before a time, unless it is the first of the file."""
    ticks = anchor.zero_ticks + round(seconds / anchor.time_base)
    found = np.flatnonzero(anchor.packets.keys & (anchor.packets.pts <= ticks))
    return int(found[-1]) if len(found) and found[-1] > 0 else None


def _key_after_landing(
    container: av.container.InputContainer, stream: Any, packets: PacketTable, aim: int
) -> tuple[int, int] | None:
    """The first key packet after a seek, as an index of the scan, and how many packets come before it.

    Returns:
        ``None`` if the seek leads behind ``aim``, or nowhere that the scan has seen.
    """
    passed = 0
    try:
        container.seek(int(packets.pts[aim]), stream=stream, backward=True)
        for packet in media_packets(container, [stream]):
            index = packets.find(packet)
            if index is not None and (index > aim or packets.keys[index]):
                return index, passed
            passed += 1
    except (av.error.FFmpegError, IndexError):
        pass
    return None


def _frame_of(anchor: VideoTrack | AudioTrack, key: int) -> int:
    """Index of a key packet's frame."""
    if isinstance(anchor, AudioTrack):
        return 0
    return int(np.searchsorted(anchor.decoder_pts, anchor.packets.pts[key]))


def _sound_before(audio: AudioTrack | None, start_seconds: float) -> int | None:
    """Time of the packet that a span's sound has to be decoded from: codecs need a run-up."""
    if audio is None:
        return None
    ticks = audio.zero_ticks + round((start_seconds - _RUN_UP_SECONDS) / audio.time_base)
    before = audio.packets.pts[(audio.packets.pts != NO_TIME) & (audio.packets.pts <= ticks)]
    return int(before.max()) if len(before) else None
