"""Downloads one clip: yt-dlp fetches the span, ffmpeg cuts it exactly. Runs in a download worker.

The span is encoded anew instead of copied: a copy can start on a key frame only, and ends in decode order, so both its
ends may be off by many frames. ``-ss`` before the input makes ffmpeg read from the key frame before the start, and drop
decoded frames and samples that lie outside the span, by the same clock for both.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.decode.ffmpeg_binary import ffmpeg_path
from pipeline.decode.media import MediaProblem, shorten
from pipeline.decode.timeline import read_timeline
from pipeline.download.reasons import OK, classify, plain_words
from storage.errors import InvalidInput

DEFAULT_FORMAT = "bv*[height<=480]+ba/b[height<=480]/bv*+ba/b"
"""The largest backbone sees 456 pixels; more would only be scaled down again."""
LEAST_SECONDS = 1.0
_RETRIES = 3
_AUDIO_PACKET_SECONDS = 1024 / 44_100
_WHOLE_SECONDS = 0.25
"""A file that is longer than its span by more than this is not cut yet."""
_DURATION_ROUNDING_SECONDS = 1.0
"""Sites declare whole seconds."""
_ENCODE = (
    "-map_metadata", "-1", "-sn", "-dn", "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p",
    # Times of frames as they were: ffmpeg would round them to the frame rate's grid.
    "-enc_time_base:v", "1:90000",
    "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:a", "aac", "-b:a", "160k", "-movflags", "+faststart", "-f", "mp4",
)  # fmt: skip
_COMPLAINT = re.compile(r"error|invalid|partial file|corrupt|truncat|moov|timed out|server returned", re.IGNORECASE)
_NO_SECTIONS = "cannot be partially downloaded"


@dataclass(frozen=True)
class DownloadJob:
    """What a worker is asked for.

    Attributes:
        id: of the clip.
        url: of the page or the file.
        start_seconds: of the span in the video.
        end_seconds: of the span in the video.
        work: an empty folder for what is half done.
        format: yt-dlp's choice of streams.
        cookies: a cookies file in Netscape format, read and never written; empty for none.
        socket_timeout_seconds: for one answer of a server.
    """

    id: str
    url: str
    start_seconds: float
    end_seconds: float
    work: Path
    format: str = DEFAULT_FORMAT
    cookies: str = ""
    socket_timeout_seconds: float = 20.0


@dataclass(frozen=True)
class Outcome:
    """What became of a job: as in :class:`~pipeline.download.ledger.Attempt`; ``file`` is the clip if ``ok``."""

    status: str
    reason: str = ""
    file: Path | None = None


class _NothingThere(Exception):
    """The span lies behind the end of the video."""


def fetch_clip(job: DownloadJob, log: Path) -> Outcome:
    """Download and cut one clip.

    Args:
        job: the clip.
        log: where ffmpeg's messages go (standard error of this process).

    Returns:
        The finished file in ``job.work``, or why there is none. Only our own bugs raise.
    """
    from yt_dlp.utils import YoutubeDLError

    try:
        source, declared_seconds = _download(job)
        return _finish(job, source, declared_seconds, log)
    except _NothingThere as nothing:
        return Outcome("too_short", str(nothing))
    except YoutubeDLError as problem:
        words = plain_words(str(problem))
        if "ffmpeg exited" in words:
            words = "; ".join([words, *_complaints(log)])
        return Outcome(classify(words), shorten(words))
    except MediaProblem as problem:
        return Outcome("broken", shorten("; ".join([problem.reason, *_complaints(log)])))
    except OSError as problem:
        words = problem.strerror or str(problem)
        return Outcome(classify(words), words)


def _download(job: DownloadJob) -> tuple[Path, float | None]:
    """The file that yt-dlp made of the span, and the video's own length where its site declares it."""
    from yt_dlp.utils import DownloadError

    declared: list[float] = []

    def span(info: dict[str, Any], _: Any) -> Iterator[dict[str, float]]:
        if info.get("duration"):
            declared.append(float(info["duration"]))
            if declared[0] < job.start_seconds + LEAST_SECONDS:
                raise _NothingThere(f"the video ends at {declared[0]:g} s, the span starts at {job.start_seconds:g} s")
        yield {"start_time": job.start_seconds, "end_time": job.end_seconds}

    options = {"download_ranges": span, "force_keyframes_at_cuts": True}
    try:
        _run_ytdlp(job, options)
    except DownloadError as problem:
        if _NO_SECTIONS not in str(problem):
            raise
        _run_ytdlp(job, {})
    files = [path for path in job.work.glob("source.*") if path.suffix not in (".part", ".ytdl")]
    if not files:
        raise DownloadError("yt-dlp found no video at this address: unavailable")
    return max(files, key=lambda path: path.stat().st_size), declared[0] if declared else None


def _run_ytdlp(job: DownloadJob, options: dict[str, Any]) -> None:
    from yt_dlp import YoutubeDL

    _put_ffmpeg_on_path(job.work.parent / ".bin")
    wait_microseconds = str(int(job.socket_timeout_seconds * 1e6))
    parameters = {
        "format": job.format,
        "outtmpl": {"default": "source.%(ext)s"},
        "external_downloader_args": {
            "ffmpeg_i": ["-rw_timeout", wait_microseconds, "-reconnect", "1", "-reconnect_delay_max", "4"],
            "ffmpeg_o": ["-nostdin", "-nostats", "-v", "warning", *_encoding(job.end_seconds - job.start_seconds)],
        },
        "socket_timeout": job.socket_timeout_seconds,
        "retries": _RETRIES,
        "fragment_retries": _RETRIES,
        "noplaylist": True,
        "playlist_items": "1",
        "noprogress": True,
        "continuedl": False,
        "fixup": "never",
        "color": "never",
        "logger": _Silence(),
        **options,
    }
    if job.cookies:
        # A stream, because yt-dlp would write the file back, from every worker at once.
        parameters["cookiefile"] = io.StringIO(Path(job.cookies).read_text(encoding="utf-8"))
    # Not by its "paths", into which yt-dlp puts environment variables: a folder's name may hold anything.
    with contextlib.chdir(job.work), YoutubeDL(parameters) as ytdl:
        ytdl.extract_info(job.url)


def _put_ffmpeg_on_path(folder: Path) -> None:
    """Let yt-dlp find our ffmpeg: it looks for that name on the path, also where it is told of another."""
    if shutil.which("ffmpeg") is None:
        folder.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (folder / "ffmpeg").symlink_to(ffmpeg_path())
        os.environ["PATH"] = os.pathsep.join([str(folder.absolute()), os.environ.get("PATH", os.defpath)])


class _Silence:
    """yt-dlp's logger: what matters comes as an exception."""

    def debug(self, message: str) -> None:
        """Drop it."""

    info = warning = error = debug


def _finish(job: DownloadJob, source: Path, declared_seconds: float | None, log: Path) -> Outcome:
    """Cut what is still whole, and see that the clip is as long as its span."""
    span = job.end_seconds - job.start_seconds
    clip, (length, frame) = source, _length(source)
    if length > span + _WHOLE_SECONDS:
        clip = job.work / "cut.mp4"
        cut(source, clip, start_seconds=job.start_seconds, seconds=span)
        length, frame = _length(clip)
    missing, complaints = span - length, _complaints(log)
    if missing <= frame + _AUDIO_PACKET_SECONDS:
        return Outcome(OK, shorten("; ".join(complaints)), clip)
    goes_on = declared_seconds is not None and declared_seconds >= job.end_seconds + _DURATION_ROUNDING_SECONDS
    if goes_on or complaints:
        return Outcome("broken", shorten("; ".join([f"{length:.2f} of {span:g} s can be read", *complaints])))
    if length < LEAST_SECONDS:
        return Outcome("too_short", f"{length:.2f} s of the span are in the video")
    return Outcome(OK, f"the video ends {missing:.2f} s before the span does", clip)


def cut(source: Path, target: Path, *, start_seconds: float, seconds: float) -> None:
    """Cut ``[start, start + seconds)`` out of a local file, exactly, by encoding it anew.

    Raises:
        MediaProblem: If ffmpeg cannot.
    """
    from storage.schema import Status

    place = ("-ss", f"{start_seconds:.6f}", "-t", f"{seconds:.6f}", "-i", f"file:{source}")
    command = [ffmpeg_path(), "-nostdin", "-v", "warning", "-y", *place, *_encoding(seconds), f"file:{target}"]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
        raise MediaProblem(Status.DECODE_ERROR, "ffmpeg could not cut the file")


def _encoding(seconds: float) -> list[str]:
    """Output options; the length again, since ffmpeg counts that of its input from the first frame that it keeps."""
    return [*_ENCODE, "-t", f"{seconds:.6f}"]


def _length(path: Path) -> tuple[float, float]:
    """Seconds of a file from its zero to the end of its last frame or sample, and seconds of one frame."""
    timeline = read_timeline(str(path))
    ends = [track.end_seconds for track in (timeline.video, timeline.audio) if track is not None]
    return max(ends), timeline.video.frame_seconds if timeline.video else 0.0


def _complaints(log: Path) -> Sequence[str]:
    """The last two things that ffmpeg found wrong, without places in memory and addresses of files."""
    lines = [re.sub(r" @ 0x\w+", "", line.strip()) for line in log.read_text("utf-8", "replace").splitlines()]
    return list(dict.fromkeys(line for line in lines if _COMPLAINT.search(line) and "://" not in line))[-2:]


def check_cookies(path: str) -> None:
    """See that a cookies file is one.

    Raises:
        InvalidInput: If it cannot be read or is not in Netscape format.
    """
    if not os.access(path, os.R_OK) or not Path(path).is_file():
        raise InvalidInput(f"--cookies {path}: no such file, or it cannot be read")
    first = Path(path).read_text(encoding="utf-8", errors="replace").lstrip()[:200]
    if not re.match(r"# (Netscape )?HTTP Cookie File", first):
        raise InvalidInput(
            f"--cookies {path}: expected Netscape format, with the first line '# Netscape HTTP Cookie File'"
        )
