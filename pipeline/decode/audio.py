"""A clip's sound at every rate asked for, from one demux by ffmpeg; nothing touches the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from extractors.base import Waveform
from extractors.views import AudioView
from pipeline.decode.ffmpeg_binary import ffmpeg_path
from pipeline.decode.ffmpeg_pipes import read_outputs
from pipeline.decode.media import MediaProblem
from pipeline.decode.timeline import AudioTrack
from storage.schema import Sampling, Status

PUBLISHED_RATE_HZ = 16_000
"""The rate at which the papers' scripts took sound from moviepy."""
_MOVIEPY_RATE_HZ = 44_100
_MOVIEPY_LARGEST = int(32768 * 0.99)


@dataclass(frozen=True)
class Sound:
    """What ffmpeg gave.

    Attributes:
        waveforms: one for each view asked for.
        note: what ffmpeg complained about although there is sound; empty if nothing.
    """

    waveforms: dict[AudioView, Waveform]
    note: str = ""


def read_audio(
    path: str,
    track: AudioTrack,
    views: Sequence[AudioView],
    *,
    clip_seconds: int,
    start_seconds: float = 0.0,
    span_seconds: float | None = None,
    sampling: Sampling = "uniform",
    timeout_seconds: float = 60.0,
) -> Sound:
    """Decode the sound of one clip.

    Args:
        path: a local media file.
        track: which stream, and where its zero is.
        views: the rates.
        clip_seconds: length of the result.
        start_seconds: clip start from the container's zero, the same zero as the frames'.
        span_seconds: the clip's own length if it is shorter than ``clip_seconds``.
        sampling: ``uniform`` puts sample ``n`` at ``n / rate``, with silence for what is absent. ``published`` repeats
            moviepy's recipe at 16 kHz, which starts with the first sample whatever its time.
        timeout_seconds: after which ffmpeg is killed.

    Returns:
        Mono float32 ``[clip_seconds * rate]`` for each view, zeros past the end.

    Raises:
        MediaProblem: ``DECODE_ERROR`` with ffmpeg's own words, ``TIMEOUT``, or ``OUT_OF_MEMORY`` where ffmpeg was
            killed each time it was tried. What an ffmpeg that died had given until then is never used.
    """
    seconds = float(clip_seconds) if span_seconds is None else min(span_seconds, float(clip_seconds))
    branches = [_branch(view, track, start_seconds, sampling) for view in views]
    limits = [_byte_limit(view, clip_seconds, sampling) for view in views]
    command = partial(_command, path, track, branches, start_seconds=start_seconds, seconds=seconds)
    taken, words, code = read_outputs(command, limits, timeout_seconds)
    if not any(taken):
        if code == 0:
            raise MediaProblem(Status.TOO_SHORT, words or "the audio stream holds no samples")
        raise MediaProblem(Status.DECODE_ERROR, words or f"ffmpeg ended with code {code} and gave no sound")
    waveforms = {view: _waveform(raw, view, clip_seconds, sampling) for view, raw in zip(views, taken, strict=True)}
    return Sound(waveforms, note=words)


def _repeats_moviepy(view: AudioView, sampling: Sampling) -> bool:
    return sampling == "published" and view.sample_rate_hz == PUBLISHED_RATE_HZ


def _branch(
    view: AudioView, track: AudioTrack, start_seconds: float, sampling: Sampling
) -> Callable[[ffmpeg.Stream], ffmpeg.Stream]:
    """The filters of one rate, to be put behind the decoded stream."""
    if _repeats_moviepy(view, sampling):
        return lambda stream: ffmpeg.filter(
            stream, "aformat", sample_fmts="s16", sample_rates=_MOVIEPY_RATE_HZ, channel_layouts="stereo"
        )
    rate = view.sample_rate_hz
    zero = track.zero_seconds + start_seconds

    def resampled(stream: ffmpeg.Stream) -> ffmpeg.Stream:
        # Without rematrix_maxval, swresample's downmix of floats is 3 dB too loud; with it, mono is the mean.
        # async=1 fills gaps and drops overlaps, and never stretches.
        options = {"async": 1, "first_pts": 0, "out_chlayout": "mono", "rematrix_maxval": 1}
        stream = stream.filter("asetpts", f"PTS-{zero:.6f}/TB").filter("aresample", rate, **options)
        return stream.filter("aformat", sample_fmts="flt", channel_layouts="mono")

    return resampled


def _command(
    path: str,
    track: AudioTrack,
    branches: Sequence[Callable[[ffmpeg.Stream], ffmpeg.Stream]],
    targets: Sequence[str],
    *,
    start_seconds: float,
    seconds: float,
) -> list[str]:
    """The ffmpeg call: one input, one raw output for each branch."""
    # Timestamps are kept, because ffmpeg would otherwise move the zero of some formats to the audio's own start.
    options: dict[str, object] = {"copyts": None, "t": f"{seconds:.6f}"}
    if start_seconds > 0:
        options["ss"] = f"{start_seconds:.6f}"
    stream = ffmpeg.input(f"file:{path}", **options)[str(track.stream_index)]
    outputs = []
    split = stream.filter_multi_output("asplit", len(branches))
    for number, (branch, target) in enumerate(zip(branches, targets, strict=True)):
        raw = branch(split[number])
        sample_format = "s16le" if branch.__name__ == "<lambda>" else "f32le"
        outputs.append(ffmpeg.output(raw, target, format=sample_format))
    merged = ffmpeg.merge_outputs(*outputs).global_args("-nostdin", "-v", "error", "-hide_banner", "-y")
    return [str(part) for part in merged.compile(cmd=ffmpeg_path())]


def _byte_limit(view: AudioView, clip_seconds: int, sampling: Sampling) -> int:
    """More is never read."""
    if _repeats_moviepy(view, sampling):
        return (clip_seconds + 1) * _MOVIEPY_RATE_HZ * 4
    return view.nbytes(clip_seconds)


def _waveform(raw: bytes, view: AudioView, clip_seconds: int, sampling: Sampling) -> Waveform:
    rate, total = view.sample_rate_hz, view.sample_rate_hz * clip_seconds
    if _repeats_moviepy(view, sampling):
        sound = _as_moviepy(np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<i2").reshape(-1, 2), total)
    else:
        sound = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<f4")[:total]
    samples = np.zeros(total, dtype=np.float32)
    # Decoders of lossy sound overshoot full scale a little.
    np.clip(np.nan_to_num(sound), -1.0, 1.0, out=samples[: len(sound)])
    return Waveform(samples, rate, len(sound))


def _as_moviepy(stereo: NDArray[np.int16], total: int) -> NDArray[np.float32]:
    """What moviepy 1.0.3 writes at 16 kHz, read back and mixed to mono.

    Args:
        stereo: ``[samples, 2]`` at 44.1 kHz.
        total: samples wanted.

    Returns:
        ``[samples]`` float32, at most ``total``.

    Source: SPEC section 2: nearest source sample, no low-pass, cut at 0.99, truncated to 16 bits.
    """
    nearest = _nearest(total)
    picked = stereo[nearest[: np.searchsorted(nearest, len(stereo))]]
    # Cut at 0.99 and truncated to 16 bits: 32440 of 32768, in either direction.
    stored = np.clip(picked, -_MOVIEPY_LARGEST, _MOVIEPY_LARGEST)
    # The sum of two is exact in float32, and so is a division by a power of two.
    mono: NDArray[np.float32] = (stored[:, 0].astype(np.float32) + stored[:, 1]) * np.float32(1 / 65536)
    return mono


@lru_cache(maxsize=4)
def _nearest(total: int) -> NDArray[np.int64]:
    """Source sample of each sample that moviepy writes, in its order of operations, which decides the ties."""
    nearest: NDArray[np.int64] = np.round(_MOVIEPY_RATE_HZ * ((1.0 / PUBLISHED_RATE_HZ) * np.arange(total))).astype(
        np.int64
    )
    return nearest
