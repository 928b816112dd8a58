"""Opens media with PyAV and collects the codecs' error messages."""

from __future__ import annotations

import logging
import re
import signal
import stat
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.logging

from storage.schema import Status

Words = Sequence[tuple[int, str, str]]
"""libav's messages: level, name, text."""
MAX_PIXELS = 8192 * 4608
"""Largest picture that is decoded unless the caller says otherwise: 8K video fits."""
_MAX_REASON = 300
_DEMUXERS = (
    "matroska,mov,avi,flv,live_flv,mpeg,mpegts,mpegvideo,asf,asf_o,ogg,nut,mxf,mxf_d10,gxf,lxf,rm,wtv,dv,swf,nsv,nuv,"
    "pmp,ty,dhav,ivf,ivr,pva,flic,roq,smk,bink,thp,film_cpk,4xm,dxa,gif,apng,webp_anim,m4v,h261,h263,h264,hevc,vvc,"
    "av1,obu,vc1,cavsvideo,avs2,avs3,evc,dirac,mjpeg,mpjpeg,yuv4mpegpipe,wav,w64,aiff,au,caf,voc,mp3,aac,ac3,eac3,ac4,"
    "dts,dtshd,truehd,mlp,flac,ape,tta,tak,wv,mpc,mpc8,shn,oma,amr,qcp,xwma,dsf,iff,loas,srt,ass,webvtt"
)
"""Containers and raw streams. Playlists and image sequences are not among them: they name other files."""
_REFUSED = "Format not on whitelist"
"""What libavformat says of a container that is not among them."""
_PROBED_BYTES = 1 << 30
_PROBED_MICROSECONDS = 3_600_000_000
_ADDRESS = re.compile(r"\s*@?\s*\b0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w.])")


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


def open_media(path: str, *, max_pixels: int = MAX_PIXELS, probe_all: bool = False) -> av.container.InputContainer:
    """Open a local file as what it is; nothing that it names is followed.

    Args:
        path: a local media file. A prefix keeps names with a colon or a leading dash from being read as a protocol.
        max_pixels: larger pictures are not decoded while the file is probed.
        probe_all: look through the whole file for streams that begin late.
    """
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file", "max_pixels": str(max_pixels)}
    if probe_all:
        options |= {"probesize": str(_PROBED_BYTES), "analyzeduration": str(_PROBED_MICROSECONDS)}
    return av.open(f"file:{path}", metadata_errors="replace", options=options)


def media_packets(container: av.container.InputContainer, streams: Sequence[Any]) -> Iterator[Any]:
    """Packets with data in file order; a demuxer that gives up in the middle ends the file there.

    Raises:
        IndexError: If a stream turned up that was not there when the file was opened.
    """
    packets = container.demux(list(streams))
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        if packet.size:
            yield packet


def refuse_unreadable(path: str) -> None:
    """Raises MediaProblem for what is no readable file, before a demuxer waits for it."""
    file = Path(path)
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        raise MediaProblem(Status.MISSING, "no such file") from None
    except OSError as problem:
        raise MediaProblem(Status.MISSING, (problem.strerror or "cannot be opened").lower()) from problem
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
        what = kinds.get(stat.S_IFMT(mode), "a device")
        raise MediaProblem(Status.MISSING, f"is {what}, not a media file")
    if file.stat().st_size == 0:
        raise MediaProblem(Status.UNREADABLE, "the file is empty (0 bytes)")


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
    refused = next((name for _, name, message in words if _REFUSED in message), "")
    if refused:
        return f"its format ({refused}) is not read: it is no audio or video container, or it names other files"
    general = problem.strerror or "cannot be read"
    said = first_words(words)
    return shorten(f"{said} ({general})" if said else general)


def first_words(words: Words) -> str:
    """The first two different things that were said, without addresses and numbers; empty if nothing was."""
    return shorten("; ".join(_said(words)[:2]))


def last_words(words: Words) -> str:
    """The last thing that was said, or nothing."""
    said = _said(words[-20:])
    return said[-1] if said else ""


def _said(words: Words) -> list[str]:
    """Each message once. Addresses go and numbers become N, so that clips with the same fault share one reason."""
    cleaned = (_NUMBER.sub("N", _ADDRESS.sub("", message)).strip() for _, _, message in words)
    return list(dict.fromkeys(message for message in cleaned if message))


def shorten(text: str) -> str:
    """One line that fits a table."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_REASON else f"{line[: _MAX_REASON - 1]}…"


def rescale(value: int, source: Fraction, target: Fraction) -> int:
    """Scale ticks as libavutil's av_rescale_q does: nearest, halfway away from zero."""
    over, under = source.numerator * target.denominator, source.denominator * target.numerator
    nearest = (2 * abs(value) * over + under) // (2 * under)
    return nearest if value >= 0 else -nearest
