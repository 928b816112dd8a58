"""A clip's sound at every rate asked for, each decoded frame at its own time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

from extractors.base import Waveform
from extractors.views import AudioView
from pipeline.decode.media import MediaProblem, Words, first_words
from pipeline.decode.mixing import lacks_places, mono_frame
from pipeline.decode.moviepy import MOVIEPY_RATE_HZ, PUBLISHED_RATE_HZ, as_moviepy
from pipeline.decode.pictures import Damage
from pipeline.decode.tracks import AudioTrack
from storage.schema import Sampling, Status

_JITTER_SECONDS = 0.0015
"""Containers round times to a millisecond; a frame that is this far off and stays so is after a gap or an overlap."""
_STEADY_FRAMES = 5
_MARGIN_SECONDS = 1.0
"""Frames before and behind the span that are looked at to tell a gap from jitter."""


@dataclass(frozen=True)
class Sound:
    """A clip's sound.

    Attributes:
        waveforms: one for each view asked for.
        note: what the codec complained about although there is sound; empty if nothing.
    """

    waveforms: dict[AudioView, Waveform]
    note: str = ""


@dataclass(frozen=True)
class _Placed:
    """A decoded frame.

    Attributes:
        frame: PyAV's.
        at: where its first sample lies, in samples from the span's start, at the frame's own rate.
        samples: how many of its samples count.
    """

    frame: Any
    at: float
    samples: int

    @property
    def kind(self) -> tuple[Any, ...]:
        """Frames of one kind can go through one resampler."""
        return self.frame.sample_rate, self.frame.format.name, self.frame.layout.name, self.frame.layout.nb_channels


@dataclass
class SoundReader:
    """Takes packets in file order and makes waveforms of what they give.

    Args:
        stream: PyAV's, of the file that is read.
        track: of the stream.
        views: the rates.
        words: what libav says, as it grows.
        clip_seconds: length of the result.
        start_seconds: clip start from the container's zero, the same zero as the frames'.
        span_seconds: the clip's own length, at most ``clip_seconds``.
        sampling: ``uniform`` puts sample ``n`` at ``n / rate``, with silence for what is absent. ``published`` repeats
            moviepy's recipe at 16 kHz, which puts the samples one behind the other whatever their times.
    """

    stream: Any
    track: AudioTrack
    views: Sequence[AudioView]
    words: Words
    clip_seconds: int
    start_seconds: float = 0.0
    span_seconds: float = 0.0
    sampling: Sampling = "uniform"
    done: bool = False
    damage: Damage = field(default_factory=Damage)
    _frames: list[tuple[float | None, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stream.codec_context.thread_count = 1
        self._newest = int(np.argmax(self.track.packets.pts))

    def take(self, packet: Any | None) -> None:
        """Decode a packet; ``None`` at the end of the file."""
        said = len(self.words)
        try:
            frames = list(self.stream.codec_context.decode(packet))
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            self._note(said)
            return
        if len(self.words) > said:
            self._note(said)
        for frame in frames:
            self._keep(frame)

    def _note(self, said: int) -> None:
        self.damage.packets += 1
        self.damage.words += list(self.words[said : said + 2])

    def _keep(self, frame: Any) -> None:
        """Keep a frame that lies in the span or near it."""
        seconds = None
        if frame.pts is not None:
            zero = self.track.zero_ticks * self.track.time_base
            seconds = float(frame.pts * frame.time_base - zero) - self.start_seconds
            lasts = frame.samples / max(frame.sample_rate, 1)
            if seconds + lasts < -_MARGIN_SECONDS:
                return
            self.done = self.done or seconds > self.span_seconds + _MARGIN_SECONDS
        self._frames.append((seconds, frame))

    def sound(self) -> Sound:
        """What was read.

        Returns:
            Mono float32 ``[clip_seconds * rate]`` for each view, zeros past the end.

        Raises:
            MediaProblem: ``DECODE_ERROR`` with the codec's own words if nothing can be decoded, ``TOO_SHORT`` if the
                span holds no sample.
        """
        placed = list(_place(self._frames, self._samples_of))
        said = first_words(self.damage.words)
        waveforms = {view: self._waveform(placed, view) for view in self.views}
        if not any(waveform.valid_samples for waveform in waveforms.values()):
            if self.damage.packets:
                raise MediaProblem(Status.DECODE_ERROR, said or "no sound can be decoded")
            raise MediaProblem(Status.TOO_SHORT, "the audio stream holds no samples")
        return Sound(waveforms, note=said if self.damage.packets else "")

    def _samples_of(self, frame: Any) -> int:
        """Samples of a frame that count: the last packet may declare fewer than its frame holds."""
        table, base, newest = self.track.packets, self.track.time_base, self._newest
        if frame.pts != table.pts[newest] or frame.time_base != base or not table.durations[newest]:
            return int(frame.samples)
        declared = round(int(table.durations[newest]) * base * frame.sample_rate)
        exact = base == Fraction(1, frame.sample_rate)  # other time bases round the duration
        slack = 0 if exact else round(_JITTER_SECONDS * frame.sample_rate)
        return declared if declared < frame.samples - slack else int(frame.samples)

    def _waveform(self, placed: Sequence[_Placed], view: AudioView) -> Waveform:
        rate, total = view.sample_rate_hz, view.sample_rate_hz * self.clip_seconds
        if self.sampling == "published" and rate == PUBLISHED_RATE_HZ:
            wanted = (self.clip_seconds + 1) * MOVIEPY_RATE_HZ
            late = placed[0].at / placed[0].frame.sample_rate if placed and self.start_seconds == 0 else 0.0
            end = self.span_seconds + max(late, 0.0)
            parts = [_stereo(list(run), end) for _, run in groupby(placed, key=lambda p: p.kind)]
            stereo = np.concatenate(parts)[:wanted] if parts else np.zeros((0, 2), np.int16)
            sound = as_moviepy(stereo, total)
        else:
            sound = _on_clock(placed, rate, total, self.span_seconds)
        samples = np.zeros(total, dtype=np.float32)
        # Decoders of lossy sound overshoot full scale a little.
        np.clip(np.nan_to_num(sound), -1.0, 1.0, out=samples[: len(sound)])
        return Waveform(samples, rate, len(sound))


def _place(frames: Sequence[tuple[float | None, Any]], samples_of: Callable[[Any], int]) -> Iterator[_Placed]:
    """Put frames one behind the other, but for gaps and overlaps that last.

    A frame that is off its place while those behind it are not is jitter of the container's timestamps.
    """
    for _, run in groupby(frames, key=lambda item: item[1].sample_rate):
        group = list(run)
        rate = group[0][1].sample_rate
        lengths = np.array([frame.samples for _, frame in group])
        before = np.cumsum(lengths) - lengths
        off = np.array([np.nan if seconds is None else seconds * rate for seconds, _ in group]) - before
        known = np.flatnonzero(~np.isnan(off))
        shift = off[known[0]] if len(known) else 0.0
        for index, (_, frame) in enumerate(group):
            if abs(off[index] - shift) > _JITTER_SECONDS * rate:
                ahead = float(np.nanmedian(off[index : index + _STEADY_FRAMES]))
                shift = ahead if abs(ahead - shift) > _JITTER_SECONDS * rate else shift
            yield _Placed(frame, before[index] + shift, samples_of(frame))


def _on_clock(placed: Sequence[_Placed], rate: int, total: int, span_seconds: float) -> NDArray[np.float32]:
    """``[samples]`` mono float32, at most ``total``: sample ``n`` at ``n / rate``."""
    out = np.zeros(total, dtype=np.float32)
    end = 0
    for number, (_, run) in enumerate(groupby(placed, key=lambda p: p.kind)):
        group = list(run)
        first = 0 if number == 0 else max(round(group[0].at / group[0].frame.sample_rate * rate), 0)
        # Without rematrix_maxval, swresample's downmix of floats is 3 dB too loud; with it, mono is the mean.
        # async=1 fills gaps and drops overlaps where frames are placed so, and never stretches.
        options = f"{rate}:async=1:min_hard_comp=0.001:first_pts={first}:out_chlayout=mono:rematrix_maxval=1"
        mono = ("aformat", "sample_fmts=flt:channel_layouts=mono")
        samples = _filtered(group, span_seconds, (("aresample", options), mono)).ravel()[: max(total - first, 0)]
        out[first : first + len(samples)] = samples
        end = max(end, first + len(samples))
    return out[:end]


def _stereo(group: Sequence[_Placed], end_seconds: float) -> NDArray[np.int16]:
    """``[samples, 2]`` at moviepy's rate, whatever the frames' times."""
    options = f"sample_fmts=s16:sample_rates={MOVIEPY_RATE_HZ}:channel_layouts=stereo"
    return _filtered(group, end_seconds, (("aformat", options),)).reshape(-1, 2)


def _filtered(group: Sequence[_Placed], end_seconds: float, filters: Sequence[tuple[str, str]]) -> NDArray[Any]:
    """Frames of one kind, cut to ``[0, end_seconds)`` and sent through libavfilter. Gives the samples, interleaved."""
    rate = group[0].frame.sample_rate
    graph = av.filter.Graph()
    frames = [mono_frame(item.frame) if lacks_places(item.frame) else item.frame for item in group]
    first = frames[0]
    source = graph.add_abuffer(
        sample_rate=rate, format=first.format.name, layout=first.layout.name, time_base=_tick(rate)
    )
    end = min(round(end_seconds * rate), round(group[-1].at) + group[-1].samples)
    chain = [source, graph.add("atrim", f"start_pts=0:end_pts={max(end, 0)}")]
    chain += [graph.add(name, options) for name, options in filters]
    chain.append(graph.add("abuffersink"))
    for one, other in pairwise(chain):
        one.link_to(other)
    graph.configure()
    parts: list[NDArray[Any]] = []
    for item, frame in zip([*group, None], [*frames, None], strict=True):
        if frame is not None and item is not None:
            frame.pts, frame.time_base = round(item.at), _tick(rate)
        try:
            source.push(frame)
        except av.error.EOFError:  # all that lies in the span has been taken
            break
        parts += _pulled(chain[-1])
    parts += _pulled(chain[-1])
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _pulled(sink: Any) -> Iterator[NDArray[Any]]:
    """What the graph has ready."""
    while True:
        try:
            yield sink.pull().to_ndarray().ravel()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _tick(rate: int) -> Fraction:
    return Fraction(1, rate)
