"""Opening media with PyAV, and what codecs say when they cannot read it."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import av.container
import av.logging

from storage.schema import Status

Words = Sequence[tuple[int, str, str]]
"""libav's messages: level, name, text."""
_MAX_REASON = 300


class MediaProblem(Exception):
    """Why a clip, or one modality of it, cannot be used.

    Args:
        status: how the clip ends if nothing else of it is usable.
        reason: words for people.
    """

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def death(process: str, codes: Sequence[int]) -> MediaProblem:
    """What to say of a clip whose process died every time it was tried.

    Args:
        process: its name, for people.
        codes: exit codes of the attempts, negative for a signal.
    """
    code, times = codes[-1], len(codes)
    if code == -signal.SIGKILL:
        return MediaProblem(
            Status.OUT_OF_MEMORY,
            f"{process} was killed {times} times (signal 9); the kernel does this when memory runs out",
        )
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return MediaProblem(Status.DECODE_ERROR, f"{process} crashed ({how}), {times} times")


def open_media(path: str) -> av.container.InputContainer:
    """Open a local file. The prefix keeps names with a colon or a leading dash from being read as a protocol."""
    return av.open(f"file:{path}", metadata_errors="replace")


def codec_words() -> Any:
    """Context that collects libav's error messages as ``(level, name, message)`` and prints none."""
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    # Codecs speak from threads of their own; what no Capture hears would reach the terminal through logging.
    logger = logging.getLogger("libav")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    return av.logging.Capture(local=False)


def own_words(problem: av.error.FFmpegError, words: Words) -> str:
    """What the codec or demuxer said, for people: ``moov atom not found (Invalid data …)``."""
    general = problem.strerror or "cannot be read"
    said = list(dict.fromkeys(message.strip() for _, _, message in words if message.strip()))
    return shorten(f"{'; '.join(said[:2])} ({general})" if said else general)


def shorten(text: str) -> str:
    """One line that fits a table."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_REASON else f"{line[: _MAX_REASON - 1]}…"


def last_words(words: Words) -> str:
    """The last thing that was said, or nothing."""
    return next((message.strip() for _, _, message in reversed(words) if message.strip()), "")


def rescale(value: int, source: Fraction, target: Fraction) -> int:
    """Scale ticks as libavutil's av_rescale_q does: nearest, halfway away from zero."""
    exact = value * source / target
    nearest = int(abs(exact) + Fraction(1, 2))
    return nearest if exact >= 0 else -nearest
