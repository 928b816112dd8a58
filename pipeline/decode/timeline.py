"""Scans a media file: streams, presentation times, truncation. Reads packets and decodes nothing.

Zero is the container's start time, as in ffmpeg, so that frames and samples share one clock. What headers declare is a
hint: durations are those of the packets.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import av.container
import numpy as np
from numpy.typing import NDArray

from pipeline.decode.clock import MICROSECOND, Clock, may_jump
from pipeline.decode.fingerprint import file_state
from pipeline.decode.media import (
    MAX_PIXELS,
    MediaProblem,
    Words,
    codec_words,
    last_words,
    media_packets,
    open_media,
    own_words,
    refuse_unreadable,
    rescale,
    shorten,
)
from pipeline.decode.packets import NO_TIME, PacketList, PacketTable
from pipeline.decode.streams import ChosenStreams, choose_streams
from pipeline.decode.tracks import AudioTrack, Timeline, VideoTrack
from pipeline.decode.truncation import declared_end, proven_truncation
from storage.schema import Status

DECLARED_SLACK_SECONDS = 0.5
"""A header that declares this much more than the packets give is worth a note."""
_FILES_REMEMBERED = 2
TRUNCATION_SLACK_SECONDS = 0.25
"""A truncated stream that ends this much before the clip does has lost part of it; rounding costs less."""


def read_timeline(path: str, *, max_pixels: int = MAX_PIXELS) -> Timeline:
    """Read every packet's times, once: of the last few files they are remembered while the files stay as they are.

    Args:
        path: a local media file.
        max_pixels: larger pictures are refused.

    Raises:
        MediaProblem: ``MISSING``, ``UNREADABLE``, ``NO_STREAMS`` or ``DECODE_ERROR``, with the demuxer's own words.
    """
    refuse_unreadable(path)
    return _timeline(path, max_pixels, file_state(path))


@lru_cache(maxsize=_FILES_REMEMBERED)
def _timeline(path: str, max_pixels: int, state: tuple[int, ...]) -> Timeline:
    with codec_words() as words:
        try:
            with open_media(path, max_pixels=max_pixels) as container:
                if not _may_begin_late(container):
                    return _read(path, container, words, max_pixels)
        except IndexError:  # a stream that was not there when the file was opened
            pass
        except av.error.FFmpegError as problem:
            raise MediaProblem(Status.UNREADABLE, own_words(problem, words)) from problem
        try:
            with open_media(path, max_pixels=max_pixels, probe_all=True) as container:
                return _read(path, container, words, max_pixels, probe_all=True)
        except (IndexError, av.error.FFmpegError) as problem:
            said = own_words(problem, words) if isinstance(problem, av.error.FFmpegError) else last_words(words)
            raise MediaProblem(Status.UNREADABLE, said or "its streams change in the middle") from problem


def _may_begin_late(container: av.container.InputContainer) -> bool:
    """FLV does not declare its streams: sound that begins late is unknown when the file is opened."""
    return "flv" in container.format.name and not (container.streams.video and container.streams.audio)


def _read(
    path: str, container: av.container.InputContainer, words: Words, max_pixels: int, *, probe_all: bool = False
) -> Timeline:
    chosen = choose_streams(container, max_pixels)
    streams = [s for s in (chosen.video, chosen.audio) if s is not None]
    jumps = may_jump(container.format.flags)
    clock, alone = Clock(jumps=jumps), Clock(jumps=jumps)
    lists = {s.index: PacketList(s.time_base) for s in streams}
    alone_shifts: list[int] = []
    shifted = False
    for packet in media_packets(container, streams) if streams else ():
        index, base = packet.stream_index, lists[packet.stream_index].time_base
        shift = clock.shift(index, packet.dts, packet.duration or 0, base)
        shifted = shifted or shift != 0
        lists[index].add(packet, shift)
        if chosen.video is not None and index == chosen.video.index:
            alone_shifts.append(alone.shift(index, packet.dts, packet.duration or 0, base) - shift)
    tables = {index: found.table() for index, found in lists.items()}
    video = audio = None
    if chosen.video is not None and len(tables[chosen.video.index].pts):
        video = _video_track(container, chosen.video, tables[chosen.video.index], np.array(alone_shifts))
    if chosen.audio is not None and (tables[chosen.audio.index].pts != NO_TIME).any():
        audio = _audio_track(container, chosen.audio, tables[chosen.audio.index])
    if video is None and audio is None:
        if chosen.video is None and chosen.audio is None:
            raise MediaProblem(Status.DECODE_ERROR, "; ".join(dict.fromkeys([chosen.no_video, chosen.no_audio])))
        raise MediaProblem(Status.UNREADABLE, last_words(words) or "no packet of the file can be read")
    timeline = Timeline(
        path, video, audio, max(track.end_seconds for track in (video, audio) if track is not None),
        jumps=jumps, shifted=shifted, max_pixels=max_pixels, probe_all=probe_all,
        no_video=chosen.no_video if chosen.video is None else "no picture in its video stream",
        no_audio=chosen.no_audio if chosen.audio is None else "no sound in its audio stream",
    )  # fmt: skip
    return _with_declared(timeline, container, chosen, words)


def _with_declared(
    timeline: Timeline, container: av.container.InputContainer, chosen: ChosenStreams, words: Words
) -> Timeline:
    """Compare with what the header declares: a note, or a problem where the file is proven to be truncated."""
    proof = proven_truncation(container, words)
    problems, notes, duration = {"video": "", "audio": ""}, [], timeline.duration_seconds
    for name, stream, track in (("video", chosen.video, timeline.video), ("audio", chosen.audio, timeline.audio)):
        declared = None if stream is None else declared_end(container, stream)
        if track is None or declared is None:
            continue
        declared -= float(track.zero_ticks * track.time_base)
        ends = f"its {name} ends at {track.end_seconds:.2f} s of {declared:.2f} s"
        if proof and track.end_seconds < declared - TRUNCATION_SLACK_SECONDS:
            problems[name] = shorten(f"the file is truncated: {ends} ({proof})")
            duration = max(duration, declared)
        elif track.end_seconds < declared - DECLARED_SLACK_SECONDS:
            notes.append(f"by the header {ends}")
    if proof and not any(problems.values()):
        notes.append(proof)
    video = timeline.video and replace(timeline.video, problem=problems["video"])
    audio = timeline.audio and replace(timeline.audio, problem=problems["audio"])
    return replace(timeline, video=video, audio=audio, duration_seconds=duration, note="; ".join(notes[:1]))


def _zero_ticks(container: av.container.InputContainer, time_base: Fraction) -> int:
    return rescale(container.start_time or 0, MICROSECOND, time_base)


def _video_track(
    container: av.container.InputContainer, stream: Any, packets: PacketTable, alone_shifts: NDArray[np.int64]
) -> VideoTrack:
    """Frames as the packets promise them; packets without times leave it to the decoder."""
    base, zero = stream.time_base, _zero_ticks(container, stream.time_base)
    shown = np.flatnonzero(~packets.hidden & (packets.pts != NO_TIME))
    shown = shown[np.argsort(packets.pts[shown], kind="stable")]
    if not len(shown):  # nothing has a time: one frame a packet, at the average rate
        rate = stream.average_rate or stream.guessed_rate or 25
        ticks = np.round(np.arange(len(packets.pts)) / float(rate * base)).astype(np.int64)
        durations = np.diff(ticks, append=ticks[-1:])
        pts, none = ticks + zero, np.full(len(ticks), NO_TIME)
        return VideoTrack(
            stream.index, _is_only(container), base, pts, durations, none, ticks, zero, float(1 / rate), packets
        )
    own_zero = stream.start_time if may_jump(container.format.flags) and stream.start_time is not None else zero
    pts = packets.pts[shown]
    return VideoTrack(
        stream_index=stream.index,
        only_video=_is_only(container),
        time_base=base,
        pts=pts,
        durations=packets.durations[shown],
        decoder_pts=pts,
        dump_pts=pts + alone_shifts[shown] - own_zero,
        zero_ticks=zero,
        frame_seconds=float(1 / stream.average_rate) if stream.average_rate else 0.04,
        packets=packets,
    )


def _is_only(container: av.container.InputContainer) -> bool:
    return len(container.streams.video) == 1


def _audio_track(container: av.container.InputContainer, stream: Any, packets: PacketTable) -> AudioTrack:
    base, zero = stream.time_base, _zero_ticks(container, stream.time_base)
    timed = packets.pts != NO_TIME
    shown = timed & ~packets.hidden if (timed & ~packets.hidden).any() else timed
    return AudioTrack(
        stream_index=stream.index,
        time_base=base,
        zero_ticks=zero,
        start_seconds=float(int(packets.pts[shown].min() - zero) * base),
        end_seconds=float(int((packets.pts + packets.durations)[shown].max() - zero) * base),
        packets=packets,
    )
