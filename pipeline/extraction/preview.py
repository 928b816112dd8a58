"""Previews of clips: a small picture of each second, and the envelope of the sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from extractors.base import Waveform
from extractors.views import AudioView
from pipeline.decode.frames import CanvasView
from storage.layout.decoded import DecodedSpec

THUMBNAILS = CanvasView(1, short_side=90, size=160, uniform=True)
"""On the clip's clock whatever the sampling: a picture stands for its second."""
SOUND = AudioView(16_000)
"""One rate for every run, so that an envelope does not depend on the backbones that ran beside it."""
STEPS_PER_SECOND = 20
_SAMPLES_PER_STEP = SOUND.sample_rate_hz // STEPS_PER_SECOND


def preview_specs(*, clip_seconds: int, sampling: str) -> tuple[DecodedSpec, DecodedSpec]:
    """The arrays of ``--keep preview``."""
    size = THUMBNAILS.size
    thumbnails = DecodedSpec(
        "thumbnails",
        (clip_seconds, size, size, 3),
        "uint8",
        {"size": ((clip_seconds, 2), "int32"), "valid": ((clip_seconds,), "bool")},
        {"frames_per_second": THUMBNAILS.frames_per_second, "short_side": THUMBNAILS.short_side},
    )
    envelope = DecodedSpec(
        "envelope",
        (clip_seconds * STEPS_PER_SECOND, 2),
        "float32",
        {"steps": ((), "int32")},
        {"sampling": sampling, "sample_rate_hz": SOUND.sample_rate_hz, "steps_per_second": STEPS_PER_SECOND},
    )
    return thumbnails, envelope


def envelope_of(sound: Waveform) -> tuple[NDArray[np.float32], int]:
    """Lowest and highest sample of each step.

    Args:
        sound: in the view :data:`SOUND`.

    Returns:
        ``[steps, 2]`` float32, zero behind the sound's end, and how many steps hold sound.
    """
    steps = np.zeros((len(sound.samples) // _SAMPLES_PER_STEP, 2), dtype=np.float32)
    starts = np.arange(0, sound.valid_samples, _SAMPLES_PER_STEP)
    if len(starts):
        heard = sound.samples[: sound.valid_samples]
        steps[: len(starts), 0] = np.minimum.reduceat(heard, starts)
        steps[: len(starts), 1] = np.maximum.reduceat(heard, starts)
    return steps, len(starts)
