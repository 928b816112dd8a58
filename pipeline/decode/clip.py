"""Decodes one clip: a file and a span in, the frames and samples of every view and a report out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av

from pipeline.decode.audio import SoundReader
from pipeline.decode.clip_buffer import (
    BufferLayout,
    DecodedClip,
    DecodeReport,
    DecodeRequest,
    buffer_layout,
    open_buffer,
)
from pipeline.decode.decord_frames import decord_name, read_with_decord, why_not_decord
from pipeline.decode.fetching import local_media
from pipeline.decode.fingerprint import span_fingerprint
from pipeline.decode.media import MediaProblem, first_words, own_words, shorten
from pipeline.decode.outcome import Outcome, combine, usable
from pipeline.decode.picture_views import PictureViews, picture_views, views_of
from pipeline.decode.pictures import Damage, OtherTimes, PictureReader, TimeReader
from pipeline.decode.reading import Opened, Reader, read_streams
from pipeline.decode.span import Span, place, refuse_short
from pipeline.decode.timeline import read_timeline
from pipeline.decode.tracks import Timeline, VideoTrack
from storage.media.addresses import is_address
from storage.schema import Status

_MAX_LOST_SHARE = 0.1
"""More frames than this that cannot be decoded make the video broken."""
_AFTER_SECONDS = 2.0
"""Frames this far behind the span are still measured: some may be shown earlier than they are decoded."""


@dataclass
class _Job:
    """One clip on its way.

    Attributes:
        request: what is wanted.
        buffer: where it goes.
        layout: of the buffer.
        timeline: of the file.
        span: the clip's part of it.
        sound: reads the sound, once a pass has begun.
        pictures: reads the pictures, once a pass has begun.
    """

    request: DecodeRequest
    buffer: Any
    layout: BufferLayout
    timeline: Timeline
    span: Span
    sound: SoundReader | None = field(default=None, init=False)
    pictures: PictureReader | None = field(default=None, init=False)


def decode_clip(request: DecodeRequest, buffer: Any) -> DecodeReport:
    """Decode one clip into a buffer. Whatever the file is like, the answer is a report.

    A clip in a bucket or a tar is fetched into a temporary file first, so that no decoder opens an address.

    Args:
        request: the clip and what is wanted of it.
        buffer: writable, of at least ``request.shape.nbytes`` bytes.

    Returns:
        The report; :func:`~pipeline.decode.clip_buffer.open_buffer` gives the arrays that it vouches for.
    """
    began = time.monotonic()
    is_part = request.start_seconds > 0 or request.end_seconds is not None
    try:
        with local_media(request.path, is_part=is_part) as path:
            report = _decode_file(replace(request, path=path), buffer)
    except MediaProblem as problem:
        report = DecodeReport(problem.status, problem.reason)
    except MemoryError:
        report = DecodeReport(Status.OUT_OF_MEMORY, "not enough memory to fetch this clip")
    if is_address(request.path):
        report = replace(report, mtime_ns=0)
    return replace(report, seconds=time.monotonic() - began)


def _decode_file(request: DecodeRequest, buffer: Any) -> DecodeReport:
    facts = DecodeReport(Status.DECODE_ERROR)
    try:
        facts = _file_facts(request)
        timeline = read_timeline(request.path, max_pixels=request.max_pixels)
        facts = replace(facts, source_seconds=timeline.duration_seconds)
        return _decode(request, buffer, timeline, facts)
    except MediaProblem as problem:
        return replace(facts, status=problem.status, reason=problem.reason)
    except MemoryError:
        return replace(facts, status=Status.OUT_OF_MEMORY, reason="not enough memory to decode this clip")
    except av.error.FFmpegError as problem:
        return replace(facts, status=Status.DECODE_ERROR, reason=own_words(problem, ()))
    except OSError as problem:
        return replace(facts, status=Status.UNREADABLE, reason=problem.strerror or "the file cannot be read")


def _file_facts(request: DecodeRequest) -> DecodeReport:
    fingerprint = span_fingerprint(request.path, start_seconds=request.start_seconds, end_seconds=request.end_seconds)
    if not fingerprint:
        return DecodeReport(Status.MISSING)
    stat = Path(request.path).stat()
    return DecodeReport(
        Status.DECODE_ERROR, fingerprint=fingerprint, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
    )


def decode_here(request: DecodeRequest) -> DecodedClip:
    """Decode one clip in this process, into memory of its own. For single clips; runs use the decode workers."""
    buffer = bytearray(request.shape.nbytes)
    return open_buffer(request, buffer, decode_clip(request, buffer))


def _decode(request: DecodeRequest, buffer: Any, timeline: Timeline, facts: DecodeReport) -> DecodeReport:
    span = place(request, timeline.duration_seconds)
    job = _Job(request, buffer, buffer_layout(request.shape), timeline, span)
    sight, hearing = timeline.video, timeline.audio
    video = usable("video", sight, float(sight.pts_seconds[0]) if sight else 0.0, timeline.no_video, span)
    audio = usable("audio", hearing, hearing.start_seconds if hearing else 0.0, timeline.no_audio, span)
    if video.problem is None and views_of(request):
        video = _read_video(job, with_sound=audio.problem is None and bool(request.audio_views))
    if audio.problem is None and request.audio_views:
        audio = _read_audio(job)
    status, reason = combine(video, audio)
    notes = [span.note, timeline.note, video.note, audio.note] if status in (Status.OK, Status.PARTIAL) else []
    return replace(
        facts,
        status=status,
        reason=shorten("; ".join(part for part in [reason, *notes] if part)),
        has_video=video.problem is None,
        has_audio=audio.problem is None,
        decoder=video.decoder,
    )


def _read_video(job: _Job, *, with_sound: bool) -> Outcome:
    """Read the pictures, and the sound in the same pass."""
    track = job.timeline.video
    if track is None:
        raise ValueError("no video track")
    try:
        views = picture_views(job.request, job.buffer, job.layout, track, job.span)
        if job.request.decoder != "pyav" and _read_by_decord(job, track, views):
            return Outcome(decoder=decord_name())
        seek = job.span.start
        try:
            if track.is_doubtful:
                raise OtherTimes
            _read_pictures(job, track, views, seek, with_sound=with_sound)
        except OtherTimes:
            track, seek = _measure(job, track, seek)
            refuse_short("video", track, float(track.pts_seconds[0]), job.span)
            views = picture_views(job.request, job.buffer, job.layout, track, job.span)
            _read_pictures(job, track, views, seek, with_sound=with_sound)
        views.write_masks()
        return Outcome(note=_damage_note(job, track), decoder=f"PyAV {av.__version__}")
    except MediaProblem as problem:
        return Outcome(problem)
    except OtherTimes:
        return Outcome(MediaProblem(Status.DECODE_ERROR, "its video decodes otherwise each time"))


def _read_by_decord(job: _Job, track: VideoTrack, views: PictureViews) -> bool:
    """Read the pictures by decord if it is proven right on the file.

    Raises:
        MediaProblem: If it is not, and nothing else may read them.
    """
    why = why_not_decord(job.timeline, track)
    if not why and read_with_decord(job.timeline, track, views.wanted, views.write):
        views.write_masks()
        return True
    if job.request.decoder == "decord":
        reason = why or "this file: it fails, or gives other times than the packets"
        raise MediaProblem(Status.DECODE_ERROR, f"decord is not proven right on {reason}. Use --decoder auto or pyav")
    return False


def _read_pictures(job: _Job, track: VideoTrack, views: PictureViews, seek: float, *, with_sound: bool) -> None:
    """One pass for pictures and sound. Raises OtherTimes."""

    def readers(opened: Opened) -> dict[int, Reader]:
        stream = opened.stream(track.stream_index)
        job.pictures = PictureReader(
            stream, track, views.wanted, views.write, opened.words,
            first=opened.entry.first_frame, max_pixels=job.request.max_pixels,
        )  # fmt: skip
        return {track.stream_index: job.pictures, **(_sound_reader(job, opened) if with_sound else {})}

    read_streams(job.timeline, readers, seek_seconds=seek)


def _sound_reader(job: _Job, opened: Opened) -> dict[int, Reader]:
    track, span, request = job.timeline.audio, job.span, job.request
    if track is None:
        return {}
    job.sound = SoundReader(
        opened.stream(track.stream_index),
        track,
        request.audio_views,
        opened.words,
        clip_seconds=request.clip_seconds,
        start_seconds=span.start,
        span_seconds=min(span.stop - span.start, float(request.clip_seconds)),
        sampling=request.sampling,
    )
    return {track.stream_index: job.sound}


def _measure(job: _Job, track: VideoTrack, seek: float) -> tuple[VideoTrack, float]:
    """The decoder's own times around the span, and the seek with which they were read.

    Raises:
        MediaProblem: ``DECODE_ERROR`` if it gives no frame, or too few of those that the packets promise.
    """
    stop_pts = track.zero_ticks + round((job.span.stop + _AFTER_SECONDS) / track.time_base)
    found: list[TimeReader] = []

    def readers(opened: Opened) -> dict[int, Reader]:
        stream, first = opened.stream(track.stream_index), opened.entry.first_frame
        found.append(
            TimeReader(stream, track, opened.words, first=first, stop_pts=stop_pts, max_pixels=job.request.max_pixels)
        )
        return {track.stream_index: found[-1]}

    read_streams(job.timeline, readers, seek_seconds=seek)
    if seek > 0 and not found[-1].begins_whole:
        seek = 0.0
        read_streams(job.timeline, readers)
    measured, damage = found[-1].measured(), found[-1].damage
    said = first_words(damage.words)
    promised = found[-1].frames + measured.lost
    if not found[-1].frames or (damage.packets and measured.lost > max(_MAX_LOST_SHARE * promised, 1)):
        lost = f"{measured.lost} of {promised} frames cannot be decoded"
        raise MediaProblem(Status.DECODE_ERROR, shorten(lost + (f": {said}" if said else "")))
    return measured, seek


def _damage_note(job: _Job, track: VideoTrack) -> str:
    """What the container and the codec complained about, in words; empty if nothing."""
    damage = job.pictures.damage if job.pictures is not None else Damage()
    said = first_words(damage.words)
    found = []
    if damage.packets:
        gone = f", {track.lost} could not be decoded" if track.lost else ""
        found.append(f"{_count(damage.packets, 'picture')} damaged{gone}" + (f" ({said})" if said else ""))
    if damage.marked:
        found.append(f"{_count(damage.marked, 'packet')} marked as damaged by the container")
    return "; ".join(found)


def _count(number: int, noun: str) -> str:
    return f"1 {noun} is" if number == 1 else f"{number} {noun}s are"


def _read_audio(job: _Job) -> Outcome:
    """The sound of the pass for pictures, or of one of its own."""
    try:
        if job.sound is None:
            read_streams(job.timeline, lambda opened: _sound_reader(job, opened), seek_seconds=job.span.start)
        if job.sound is None:
            raise ValueError("no audio track")
        sound = job.sound.sound()
        for view, waveform in sound.waveforms.items():
            job.layout.array(job.buffer, view, "samples")[:] = waveform.samples
            job.layout.array(job.buffer, view, "valid_samples")[0] = waveform.valid_samples
        return Outcome(note=f"audio: {sound.note}" if sound.note else "")
    except MediaProblem as problem:
        return Outcome(problem)
