"""VGGish's log-mel spectrogram, which is YAMNet's too: batched, in torch, and equal to the TensorFlow original."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from extractors.windows import Windows

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
FFT_SAMPLES = 512
MEL_BANDS = 64
LOWEST_HZ = 125.0
HIGHEST_HZ = 7_500.0
LOG_OFFSET = 0.01
EXAMPLE_FRAMES = 96
"""Frames that the network looks at."""
EXAMPLE_SECONDS = EXAMPLE_FRAMES * HOP_SAMPLES / SAMPLE_RATE_HZ


def log_mel(samples: Tensor, *, log_offset: float = LOG_OFFSET) -> Tensor:
    """Turn sound into log-mel frames, without centring or padding.

    Args:
        samples: ``[..., samples]`` mono at 16 kHz, in [-1, 1], at least 400 of them.
        log_offset: added before the logarithm; VGGish's unless given.

    Returns:
        ``[..., frames, 64]`` float32, ``frames = 1 + (samples - 400) // 160``: 98 from one second. Computed in
        float64: the quiet bands of a loud tone lie under float32's rounding, and the logarithm would show it.

    Raises:
        ValueError: If there are fewer samples than one window.

    Source: Hershey et al., CNN architectures for large-scale audio classification, ICASSP 2017, section 3.1, as
    implemented in tensorflow/models, research/audioset/vggish: magnitudes, not powers.
    """
    count = samples.shape[-1]
    if count < WINDOW_SAMPLES:
        raise ValueError(f"{count} samples are too few for a log-mel frame: one window has {WINDOW_SAMPLES}")
    windows = samples.double().unfold(-1, WINDOW_SAMPLES, HOP_SAMPLES)
    window = torch.hann_window(WINDOW_SAMPLES, periodic=True, dtype=torch.float64, device=samples.device)
    magnitudes = torch.fft.rfft(windows * window, n=FFT_SAMPLES).abs()
    mel = magnitudes @ torch.from_numpy(mel_matrix()).to(samples.device)
    return torch.log(mel + log_offset).float()


def second_examples(samples: Tensor, *, log_offset: float = LOG_OFFSET) -> Tensor:
    """Cut sound into seconds and turn each into the network's input.

    Args:
        samples: ``[..., samples]`` at 16 kHz, whole seconds.
        log_offset: see :func:`log_mel`.

    Returns:
        ``[..., segments, 96, 64]`` float32: the first 96 of the 98 frames of each second, as the published
        extraction scripts take them. No frame reaches into the next second.

    Raises:
        ValueError: If the samples are not whole seconds.
    """
    segments, rest = divmod(samples.shape[-1], SAMPLE_RATE_HZ)
    if rest:
        raise ValueError(f"{samples.shape[-1]} samples are not whole seconds at {SAMPLE_RATE_HZ} Hz")
    seconds = samples.unflatten(-1, (segments, SAMPLE_RATE_HZ))
    return log_mel(seconds, log_offset=log_offset)[..., :EXAMPLE_FRAMES, :]


def window_examples(samples: Tensor, starts: NDArray[np.intp], *, log_offset: float = LOG_OFFSET) -> Tensor:
    """Turn windows of a sound into the network's input, as AudioSet's release moves on in it.

    Args:
        samples: ``[samples]`` at 16 kHz.
        starts: first sample of each window, multiples of 160.
        log_offset: see :func:`log_mel`.

    Returns:
        ``[windows, 96, 64]`` float32. The last frame of a window reaches 15 ms past it; past the end is silence.
    """
    frames = log_mel(torch.nn.functional.pad(samples, (0, WINDOW_SAMPLES)), log_offset=log_offset)
    places = starts[:, None] // HOP_SAMPLES + np.arange(EXAMPLE_FRAMES)
    return frames[torch.from_numpy(places)]


def examples_of(
    samples: NDArray[np.float32], windows: Windows | None, *, clip_seconds: int, log_offset: float = LOG_OFFSET
) -> NDArray[np.float32]:
    """The network's inputs for a clip: each second's, or each window's.

    Args:
        samples: ``[samples]`` at 16 kHz, whole seconds.
        windows: ``None`` for each second.
        clip_seconds: length of the clip.
        log_offset: see :func:`log_mel`.

    Returns:
        ``[steps, 1, 96, 64]``.
    """
    sound = torch.from_numpy(samples)
    if windows is None:
        found = second_examples(sound, log_offset=log_offset)
    else:
        starts = windows.starts_samples(clip_seconds, sample_rate_hz=SAMPLE_RATE_HZ)
        found = window_examples(sound, starts, log_offset=log_offset)
    examples: NDArray[np.float32] = found[:, None].numpy()
    return examples


@functools.cache
def mel_matrix() -> NDArray[np.float64]:
    """Weights that gather 257 spectrogram bins in 64 mel bands.

    Returns:
        ``[257, 64]`` float64: triangles that are straight in mel, not in hertz; bin 0 belongs to no band.
        Shared between callers: do not write to it.
    """
    bins = _hertz_to_mel(np.linspace(0.0, SAMPLE_RATE_HZ / 2, FFT_SAMPLES // 2 + 1))[:, None]
    edges = np.linspace(_hertz_to_mel(LOWEST_HZ), _hertz_to_mel(HIGHEST_HZ), MEL_BANDS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    weights = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    weights[0] = 0.0
    return np.asarray(weights)


def _hertz_to_mel(hertz: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """HTK's scale, with the constants that VGGish uses."""
    return np.asarray(1127.0 * np.log1p(np.asarray(hertz) / 700.0))
