"""Chooses the streams of a file to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import av.container

from pipeline.decode.media import MediaProblem
from storage.schema import Status


@dataclass(frozen=True)
class ChosenStreams:
    """The streams in use, and why one of a kind is not."""

    video: Any | None
    audio: Any | None
    no_video: str
    no_audio: str


def choose_streams(container: av.container.InputContainer, max_pixels: int) -> ChosenStreams:
    """The streams that ffmpeg would choose among those that can be decoded. Cover art is no video.

    Raises:
        MediaProblem: If there is nothing to choose from.
    """
    cover = av.stream.Disposition.attached_pic
    shown = [s for s in container.streams.video if not s.disposition & cover]
    heard = list(container.streams.audio)
    if not shown and not heard:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise MediaProblem(Status.NO_STREAMS, f"neither audio nor video in the file (it holds {kinds})")
    videos = [s for s in shown if s.codec_context is not None]
    video = max(videos, key=lambda s: (_is_default(s), _pixels(s), -s.index), default=None)
    audios = [s for s in heard if s.codec_context is not None]
    audio = max(audios, key=lambda s: (_is_default(s), s.codec_context.channels or 0, -s.index), default=None)
    no_video = "no video stream" if not shown else "no decoder for its video stream"
    if video is not None and _pixels(video) > max_pixels:
        size = f"{video.codec_context.width} x {video.codec_context.height}"
        no_video, video = f"its pictures have {size} pixels; at most {max_pixels} are decoded (see --memory)", None
    return ChosenStreams(video, audio, no_video, "no audio stream" if not heard else "no decoder for its audio stream")


def _pixels(stream: Any) -> int:
    return (stream.codec_context.width or 0) * (stream.codec_context.height or 0)


def _is_default(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.default)
