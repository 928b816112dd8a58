"""How each modality of a clip ended, and what that makes of the clip."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.decode.media import MediaProblem
from pipeline.decode.span import Span, refuse_short
from pipeline.decode.tracks import AudioTrack, VideoTrack
from storage.schema import Status


@dataclass(frozen=True)
class Outcome:
    """How one modality ended; ``problem`` is ``None`` where it can be used."""

    problem: MediaProblem | None = None
    absent: bool = False
    note: str = ""
    decoder: str = ""


def combine(video: Outcome, audio: Outcome) -> tuple[Status, str]:
    """The clip's status from its modalities'."""
    failed = [(name, o.problem, o.absent) for name, o in (("video", video), ("audio", audio)) if o.problem is not None]
    if not failed:
        return Status.OK, ""
    if len(failed) == 1:
        name, problem, absent = failed[0]
        return Status.PARTIAL, problem.reason if absent else f"{name}: {problem.reason}"
    broken = [(name, problem) for name, problem, absent in failed if not absent]
    reasons = list(dict.fromkeys(problem.reason for _, problem in broken))
    return broken[0][1].status, "; ".join(reasons)


def usable(kind: str, track: VideoTrack | AudioTrack | None, first: float, missing: str, span: Span) -> Outcome:
    """Whether a modality can be read: ``missing`` says why there is no track, ``first`` where the track begins."""
    if track is None:
        return Outcome(MediaProblem(Status.NO_STREAMS, missing), absent=True)
    try:
        refuse_short(kind, track, first, span)
    except MediaProblem as problem:
        return Outcome(problem)
    return Outcome()
