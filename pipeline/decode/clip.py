"""One clip: a file and a span in, every view's frames and samples and one honest report out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.views import FrameView
from pipeline.decode.audio import read_audio
from pipeline.decode.clip_buffer import (
    DecodedClip,
    DecodeReport,
    DecodeRequest,
    DecodeShape,
    KeptFrames,
    SlabLayout,
    open_slab,
    slab_layout,
)
from pipeline.decode.fingerprint import span_fingerprint
from pipeline.decode.frames import CanvasView, FrameReader
from pipeline.decode.media import MediaProblem, shorten
from pipeline.decode.sampling import GridFrames, published_grid, uniform_grid
from pipeline.decode.timeline import (
    TRUNCATION_SLACK_SECONDS,
    AudioTrack,
    Timeline,
    VideoTrack,
    read_timeline,
)
from storage.schema import Status

__all__ = [
    "DecodeReport",
    "DecodeRequest",
    "DecodeShape",
    "DecodedClip",
    "KeptFrames",
    "decode_clip",
    "open_slab",
    "slab_layout",
]

CUT_SLACK_SECONDS = 1.5
"""A file at most this much longer than its span is the cut clip itself; clips are cut at key frames."""
MIN_SECONDS = 1.0
_ROUNDING_SECONDS = 0.01


@dataclass(frozen=True)
class _Span:
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


@dataclass(frozen=True)
class _Outcome:
    """How one modality ended; ``problem`` is ``None`` where it can be used."""

    problem: MediaProblem | None = None
    absent: bool = False
    note: str = ""
    decoder: str = ""


def decode_clip(request: DecodeRequest, slab: Any) -> DecodeReport:
    """Decode one clip into a slab. Whatever the file is like, the answer is a report.

    Args:
        request: the clip and what is wanted of it.
        slab: writable buffer of at least ``request.shape.nbytes`` bytes.

    Returns:
        The report; :func:`open_slab` gives the arrays that it vouches for.
    """
    began = time.monotonic()
    facts = DecodeReport(Status.DECODE_ERROR)
    try:
        facts = _file_facts(request)
        timeline = read_timeline(request.path)
        facts = replace(facts, source_seconds=timeline.duration_seconds)
        report = _decode(request, slab, timeline, facts)
    except MediaProblem as problem:
        report = replace(facts, status=problem.status, reason=problem.reason)
    except MemoryError:
        report = replace(facts, status=Status.OUT_OF_MEMORY, reason="not enough memory to decode this clip")
    except OSError as problem:
        report = replace(facts, status=Status.UNREADABLE, reason=problem.strerror or "the file cannot be read")
    return replace(report, seconds=time.monotonic() - began)


def _file_facts(request: DecodeRequest) -> DecodeReport:
    fingerprint = span_fingerprint(request.path, start_seconds=request.start_seconds, end_seconds=request.end_seconds)
    if not fingerprint:
        return DecodeReport(Status.MISSING)
    stat = Path(request.path).stat()
    return DecodeReport(
        Status.DECODE_ERROR, fingerprint=fingerprint, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
    )


def _decode(request: DecodeRequest, slab: Any, timeline: Timeline, facts: DecodeReport) -> DecodeReport:
    span = _place(request, timeline.duration_seconds)
    layout = slab_layout(request.shape)
    video = _video(request, slab, layout, timeline, span)
    audio = _audio(request, slab, layout, timeline, span)
    status, reason = _combine(video, audio)
    notes = [span.note, video.note, audio.note] if status in (Status.OK, Status.PARTIAL) else []
    return replace(
        facts,
        status=status,
        reason=shorten("; ".join(part for part in [reason, *notes] if part)),
        has_video=video.problem is None,
        has_audio=audio.problem is None,
        decoder=video.decoder,
    )


def _combine(video: _Outcome, audio: _Outcome) -> tuple[Status, str]:
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


def _place(request: DecodeRequest, duration: float) -> _Span:
    """Where the clip lies in its file: rows of a table tell the span in the source video, files may be cut already."""
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
        return _Span(start, start + wanted, whole=False, note=note)
    if start == 0 and end is None:
        return _Span(0.0, duration, whole=True)
    return _Span(start, start + min(left, wanted), whole=False)


def _refuse_short(kind: str, track: VideoTrack | AudioTrack, first: float, span: _Span) -> None:
    """Raises MediaProblem if the span holds too little of the stream, or part of what it should hold is cut off."""
    if track.problem and track.end_seconds < span.stop - TRUNCATION_SLACK_SECONDS:
        raise MediaProblem(Status.DECODE_ERROR, track.problem)
    seconds = min(track.end_seconds, span.stop) - max(first, span.start)
    if seconds < MIN_SECONDS - _ROUNDING_SECONDS:
        raise MediaProblem(
            Status.TOO_SHORT, f"the clip's {kind} lasts {max(seconds, 0):.2f} s; at least {MIN_SECONDS:g} s is needed"
        )


def _video(request: DecodeRequest, slab: Any, layout: SlabLayout, timeline: Timeline, span: _Span) -> _Outcome:
    track = timeline.video
    if track is None:
        return _Outcome(MediaProblem(Status.NO_STREAMS, "no video stream"), absent=True)
    try:
        _refuse_short("video", track, float(track.pts_seconds[0]), span)
        views: list[FrameView | CanvasView] = list(request.frame_views)
        if request.keep is not None:
            views.append(request.keep)
        if not views:
            return _Outcome()
        grids = [_grid(request, track, view, span) for view in views]
        reader = FrameReader(timeline.path, track)
        wanted = sorted({int(index) for grid in grids for index in grid.index})
        for index, image in reader.read(wanted):
            for view, grid in zip(views, grids, strict=True):
                _write_frame(layout, slab, view, np.flatnonzero(grid.index == index), image)
        for view, grid in zip(views, grids, strict=True):
            layout.array(slab, view, "valid")[:] = grid.valid
        return _Outcome(note=reader.note, decoder=reader.decoder)
    except MediaProblem as problem:
        return _Outcome(problem)


def _write_frame(
    layout: SlabLayout, slab: Any, view: FrameView | CanvasView, rows: NDArray[np.intp], image: NDArray[np.uint8]
) -> None:
    if len(rows) == 0:
        return
    if isinstance(view, FrameView):
        layout.array(slab, view, "pixels")[rows] = view.apply(image)
        return
    canvas, height, width = view.apply(image)
    layout.array(slab, view, "pixels")[rows] = canvas
    layout.array(slab, view, "heights")[rows] = height
    layout.array(slab, view, "widths")[rows] = width


def _grid(request: DecodeRequest, track: VideoTrack, view: FrameView | CanvasView, span: _Span) -> GridFrames:
    frames = view.frames(request.clip_seconds)
    if request.sampling == "uniform":
        return uniform_grid(
            track.pts_seconds,
            frames_per_second=view.frames_per_second,
            frames=frames,
            start_seconds=span.start,
            end_seconds=min(track.end_seconds, span.stop),
        )
    if span.whole:
        return published_grid(
            track.pts - track.own_zero_ticks, track.durations, time_base=track.time_base, frames=frames
        )
    # The scripts dumped files that were cut from the whole video beforehand: zero is the start of the cut.
    seconds = track.pts_seconds
    (inside,) = np.nonzero((seconds >= span.start - _ROUNDING_SECONDS) & (seconds < span.stop - _ROUNDING_SECONDS))
    zero = track.zero_ticks + round(span.start / track.time_base)
    part = published_grid(track.pts[inside] - zero, track.durations[inside], time_base=track.time_base, frames=frames)
    return GridFrames(inside[part.index], part.valid)


def _audio(request: DecodeRequest, slab: Any, layout: SlabLayout, timeline: Timeline, span: _Span) -> _Outcome:
    track = timeline.audio
    if track is None:
        return _Outcome(MediaProblem(Status.NO_STREAMS, "no audio stream"), absent=True)
    try:
        _refuse_short("audio", track, track.start_seconds, span)
        if not request.audio_views:
            return _Outcome()
        sound = read_audio(
            timeline.path,
            track,
            request.audio_views,
            clip_seconds=request.clip_seconds,
            start_seconds=span.start,
            span_seconds=None if span.whole else span.stop - span.start,
            sampling=request.sampling,
            timeout_seconds=request.timeout_seconds,
        )
        for view, waveform in sound.waveforms.items():
            layout.array(slab, view, "samples")[:] = waveform.samples
            layout.array(slab, view, "valid_samples")[0] = waveform.valid_samples
        return _Outcome(note=f"audio: {sound.note}" if sound.note else "")
    except MediaProblem as problem:
        return _Outcome(problem)
