"""What a model's feature extractor makes of seconds of sound, without the parts that only repeat themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Prepare(Protocol):
    """Turns seconds into a network's input."""

    def __call__(self, extractor: Any, seconds: Floats, **options: Any) -> Floats:
        """From ``[seconds, samples]`` to ``[seconds, ...]``."""
        ...


def plain(extractor: Any, seconds: Floats, **options: Any) -> Floats:
    """What the extractor gives.

    Args:
        extractor: of transformers.
        seconds: ``[seconds, samples]``.
        options: of the extractor.
    """
    made = extractor(list(seconds), sampling_rate=int(extractor.sampling_rate), return_tensors="np", **options)
    return np.asarray(made[extractor.model_input_names[0]], dtype=np.float32)


def clap(extractor: Any, seconds: Floats, **options: Any) -> Floats:
    """CLAP's picture of a second that is repeated to ten: three of them hold all of its columns.

    The extractor has four equal pictures of a sound that is not longer than ten seconds, of which the first is read.
    """
    rate, hop = int(extractor.sampling_rate), int(extractor.hop_length)
    whole, period = int(extractor.nb_max_samples), rate // hop
    if rate % hop or whole % rate or whole < 3 * rate or extractor.padding not in ("repeat", "repeatpad"):
        return plain(extractor, seconds, **options)[:, :1]
    three = plain(extractor, np.tile(seconds, 3), max_length=3 * rate, **options)[:, :1]
    frames = np.arange(whole // hop + 1)
    end = len(frames) - 1 - period
    source = np.where(frames < period, frames, period + frames % period)
    source = np.where(frames >= end, frames - (end - 2 * period), source)
    return three[:, :, source]


def whisper(extractor: Any, seconds: Floats, **options: Any) -> Floats:
    """Whisper's spectrogram of a second and 29 of silence: the columns of silence are equal."""
    rate = int(extractor.sampling_rate)
    two = plain(extractor, seconds, max_length=2 * rate, **options)
    rest = int(extractor.nb_max_frames) - two.shape[-1]
    return np.concatenate([two, np.repeat(two[..., -1:], rest, axis=-1)], axis=-1)


PREPARE: Mapping[str, Prepare] = {"ClapFeatureExtractor": clap, "WhisperFeatureExtractor": whisper}
"""By the extractor's class; :func:`plain` for the others."""
