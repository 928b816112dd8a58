"""The part of a file that a clip covers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.decode.clip_buffer import DecodeRequest
from pipeline.decode.media import MediaProblem
from pipeline.decode.timeline import TRUNCATION_SLACK_SECONDS
from pipeline.decode.tracks import AudioTrack, VideoTrack
from storage.schema import Status

CUT_SLACK_SECONDS = 1.5
"""A file at most this much longer than its span is the cut clip itself; clips are cut at key frames."""
MIN_SECONDS = 1.0
ROUNDING_SECONDS = 0.01
_CUT_NOTE = re.compile(r"(source|the span) is [\d.]+ s; (the|its) first \S+ s were used")
_TOO_LITTLE = re.compile(r"(?:(?:audio|video): )?the clip's (audio|video) lasts [\d.]+ s; at least \S+ s is needed")


@dataclass(frozen=True)
class Span:
    """Which part of a file the clip is, in seconds from the container's zero.

    Attributes:
        start: first second.
        stop: where it ends, at the latest.
        whole: the file is the clip, so the published scripts took all its frames.
        note: for people.
    """

    start: float
    stop: float
    whole: bool
    note: str = ""


def place(request: DecodeRequest, duration: float) -> Span:
    """Where the clip lies in its file: rows of a table tell the span in the source video, files may be cut already.

    Args:
        request: the clip.
        duration: of the file, in seconds.

    Raises:
        MediaProblem: ``TOO_SHORT`` if the clip starts behind the file's end.
    """
    start, end, wanted = request.start_seconds, request.end_seconds, float(request.clip_seconds)
    if end is not None and duration <= end - start + CUT_SLACK_SECONDS:
        start, end = 0.0, None
    if start >= duration:
        raise MediaProblem(Status.TOO_SHORT, f"the clip starts at {start:g} s, but the file ends at {duration:.2f} s")
    left = (duration if end is None else min(end, duration)) - start
    if left > wanted + CUT_SLACK_SECONDS:
        note = f"source is {duration:.1f} s; the first {wanted:g} s were used"
        if start > 0:
            note = f"the span is {left:.1f} s; its first {wanted:g} s were used"
        return Span(start, start + wanted, whole=False, note=note)
    if start == 0 and end is None:
        return Span(0.0, duration, whole=True)
    return Span(start, start + min(left, wanted), whole=False)


def without_cuts(reason: str, *, ends: bool = False) -> str:
    """A clip's reason without what follows from cutting a long file into clips.

    Args:
        reason: as a ledger has it, with ``; `` between its parts.
        ends: also drop that a clip has too little of a stream: a stream that begins late or ends early.
    """
    for said in (_CUT_NOTE, *([_TOO_LITTLE] if ends else [])):
        reason = said.sub("", reason)
    return "; ".join(filter(None, reason.split("; ")))


def refuse_short(kind: str, track: VideoTrack | AudioTrack, first: float, span: Span) -> None:
    """Raises MediaProblem if the span holds too little of the stream, or part of what it should hold is cut off."""
    if track.problem and track.end_seconds < span.stop - TRUNCATION_SLACK_SECONDS:
        raise MediaProblem(Status.DECODE_ERROR, track.problem)
    seconds = min(track.end_seconds, span.stop) - max(first, span.start)
    if seconds < MIN_SECONDS - ROUNDING_SECONDS:
        raise MediaProblem(
            Status.TOO_SHORT, f"the clip's {kind} lasts {max(seconds, 0):.2f} s; at least {MIN_SECONDS:g} s is needed"
        )
