"""CLAP's spectrograms, batched: 16-bit round trip, repetition to ten seconds, log-mel."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

Bands = Literal["htk", "slaney"]

SAMPLE_RATE_HZ = 48_000
INPUT_SAMPLES = 10 * SAMPLE_RATE_HZ
"""The network's input is always ten seconds long."""
HOP_SAMPLES = 480
MEL_FRAMES = INPUT_SAMPLES // HOP_SAMPLES + 1
MEL_BANDS = 64


def quantize(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round trip through 16 bits, the fraction cut off, as laion-clap does before every spectrogram."""
    whole = (np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)
    back: NDArray[np.float32] = (whole / 32767.0).astype(np.float32)
    return back


def nearest_samples(samples: NDArray[np.float32], *, count: int) -> NDArray[np.float32]:
    """Stretch or shrink to ``count`` samples by picking the nearest ones, first and last included."""
    if len(samples) == count:
        return samples
    nearest = np.round(np.linspace(0, len(samples) - 1, count)).astype(np.intp)
    return np.asarray(samples[nearest])


def mel_decibels(samples: NDArray[np.float32], *, bands: Bands = "htk") -> NDArray[np.float32]:
    """Log-mel spectrograms.

    Args:
        samples: ``[units, samples]`` at 48 kHz.
        bands: ``htk`` for networks with fusion layers, ``slaney`` for the others.

    Returns:
        ``[units, 1 + samples // 480, 64]`` float32 decibels.

    Source: ``get_mel`` in laion_clap/training/data.py for ``htk``; for ``slaney`` the network's own extractors in
    laion_clap/clap_module/htsat.py, which take librosa's bands.
    """
    import torch

    with torch.inference_mode():
        decibels: NDArray[np.float32] = _transform(bands)(torch.from_numpy(samples)).transpose(1, 2).numpy()
    return decibels


def repeated_second_mel(seconds: NDArray[np.float32], *, bands: Bands = "htk") -> NDArray[np.float32]:
    """Log-mel spectrograms of seconds that are each repeated to ten.

    A second is a whole number of hops, so the frames repeat as well: three seconds hold all there are, with the
    beginning, one round from the middle, and the end.

    Args:
        seconds: ``[segments, 48000]``.
        bands: see :func:`mel_decibels`.

    Returns:
        ``[segments, 1001, 64]`` float32 decibels.
    """
    period = SAMPLE_RATE_HZ // HOP_SAMPLES
    frames = np.arange(MEL_FRAMES)
    middle = period + frames % period
    end = MEL_FRAMES - 1 - period
    source = np.where(frames < period, frames, np.where(frames < end, middle, frames - (end - 2 * period)))
    return mel_decibels(np.tile(seconds, 3), bands=bands)[:, source]


def repeated_mel(windows: NDArray[np.float32], *, bands: Bands = "htk") -> NDArray[np.float32]:
    """Log-mel spectrograms of windows of sound that are repeated as often as they fit into ten seconds, then silence.

    Args:
        windows: ``[windows, samples]``, ten seconds each at most.
        bands: see :func:`mel_decibels`.

    Returns:
        ``[windows, 1001, 64]`` float32 decibels.

    Source: the filling ``repeatpad`` in laion_clap/training/data.py.
    """
    repeated = np.tile(windows, INPUT_SAMPLES // windows.shape[1])
    return mel_decibels(np.pad(repeated, ((0, 0), (0, INPUT_SAMPLES - repeated.shape[1]))), bands=bands)


@functools.cache
def _transform(bands: Bands) -> Callable[[Tensor], Tensor]:
    """``[units, samples]`` to ``[units, 64, frames]`` decibels."""
    from torch import nn
    from torchaudio.transforms import AmplitudeToDB, MelSpectrogram

    mel = MelSpectrogram(
        sample_rate=SAMPLE_RATE_HZ,
        n_fft=1024,
        hop_length=HOP_SAMPLES,
        power=2.0,
        norm="slaney" if bands == "slaney" else None,
        mel_scale=bands,
        n_mels=MEL_BANDS,
        f_min=50,
        f_max=14_000,
    )
    return nn.Sequential(mel, AmplitudeToDB(top_db=None))
