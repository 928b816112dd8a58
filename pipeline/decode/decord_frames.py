"""Pictures by decord, where it is proven right.

decord seeks by frame number and trusts what the container says of times. Measured with decord2 3.4.0 against decoding
every packet in order: it is right, to the last bit, for H.264, HEVC, VP9 and AV1 with closed groups of pictures, 8 and
10 bit, any subsampling, turned by quarters. It is wrong, or refuses, where pictures lead their key frame (open groups:
13 to 69 of 80 frames wrong), with palettes that come with the container (black), with mirrored pictures, several
video streams, frames that an edit list hides, damaged packets, absent, moved or huge timestamps, and widths of 96 and
144 pixels. It reads nothing of these here.

It saves nothing on 10 s clips (CPU seconds a clip, all published views, PyAV and decord in turn): see
docs/performance.md. So PyAV reads by default, and decord where somebody asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import av
import numpy as np

from pipeline.decode.decord_module import decord_module
from pipeline.decode.frames import Rgb, is_mirrored
from pipeline.decode.media import codec_words, open_media
from pipeline.decode.packets import NO_TIME
from pipeline.decode.tracks import Timeline, VideoTrack

CHUNK_BYTES = 32 << 20
"""Native frames held at once, unless a single frame is larger."""
_MAX_CHUNK_FRAMES = 32
_TIME_SLACK_SECONDS = 0.002
_HUGE_SECONDS = 1e6


def decord_name() -> str:
    """Name and version, for the ledger."""
    return f"decord {metadata.version('decord2')}"


def why_not_decord(timeline: Timeline, track: VideoTrack) -> str:
    """Why decord is not proven right on a file, in words; empty if it is."""
    packets = track.packets
    reasons = {
        "several video streams": not track.only_video,
        "pictures that lead their key frame": packets.has_leading_pictures,
        "frames that are decoded but not shown": bool(packets.hidden.any()),
        "packets without timestamps": bool((packets.pts == NO_TIME).any()),
        "several frames with one timestamp": track.is_doubtful,
        "timestamps that jump": timeline.shifted,
        "a huge start time": abs(float(track.zero_ticks * track.time_base)) > _HUGE_SECONDS,
        "a damaged or truncated file": bool(track.problem) or track.measured,
        "a group of pictures that does not begin with a key frame": not bool(packets.keys[0]),
    }
    return next((reason for reason, found in reasons.items() if found), "") or _first_frame_speaks(timeline, track)


def _first_frame_speaks(timeline: Timeline, track: VideoTrack) -> str:
    """What the first frame tells against decord."""
    with codec_words() as words, open_media(timeline.path) as container:
        try:
            first: Any = next(container.decode(container.streams[track.stream_index]), None)
        except av.error.FFmpegError:
            return "a first frame that cannot be decoded"
        if first is None or words:
            return "a first frame that cannot be decoded"
        if is_mirrored(first):
            return "mirrored pictures"
        if "pal" in first.format.name:
            return "a palette"
    return ""


def read_with_decord(
    timeline: Timeline, track: VideoTrack, indices: Sequence[int], deliver: Callable[[int, Rgb], None]
) -> bool:
    """Hand over some frames.

    Args:
        timeline: of the file.
        track: indices count its frames.
        indices: ascending, each once.
        deliver: called with the index and ``[height, width, 3]`` uint8 RGB, upright.

    Returns:
        False if decord fails or disagrees about the times; some frames may have been handed over.
    """
    decord = decord_module()
    try:
        reader = decord.VideoReader(os.path.abspath(timeline.path), num_threads=1)
        if len(reader) != len(track.pts):
            return False
        times = reader.get_frame_timestamp(list(indices))[:, 0]
        if np.abs(times - track.pts[list(indices)] * float(track.time_base)).max() > _TIME_SLACK_SECONDS:
            return False
        first = reader[0].shape
        step = min(max(CHUNK_BYTES // (first[0] * first[1] * 3), 1), _MAX_CHUNK_FRAMES)
        for start in range(0, len(indices), step):
            chunk = list(indices[start : start + step])
            for index, image in zip(chunk, reader.get_batch(chunk).asnumpy(), strict=True):
                deliver(index, image)
    except (decord.DECORDError, RuntimeError, StopIteration):
        return False  # its message is a C++ stack trace
    return True
