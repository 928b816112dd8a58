"""Checks a clip's samples against the view that an audio backbone asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from extractors.base import Extractor, Frames, Waveform
from extractors.windows import Windows
from storage.errors import InvalidInput, UnknownBackbone
from storage.schema import FeatureSpec

FRAME_SECONDS = 0.01
"""Windows begin with a frame of the log-mels, and end with one."""


def waveform_on_grid(clip: Frames | Waveform, *, name: str, sample_rate_hz: int, seconds: int) -> Waveform:
    """Check that a clip is the waveform that was asked for, and silence whatever stands past its end.

    Args:
        clip: must be a waveform at ``sample_rate_hz`` that fills ``seconds``.
        name: of the backbone, for errors.
        sample_rate_hz: of the backbone's view.
        seconds: length of the grid.

    Returns:
        The clip, its samples ``[sample_rate_hz * seconds]`` float32.

    Raises:
        InvalidInput: If the clip is not a waveform, or its rate or its length is another.
    """
    if not isinstance(clip, Waveform):
        raise InvalidInput(f"{name}: expected a waveform, got {type(clip).__name__}")
    if clip.sample_rate_hz != sample_rate_hz:
        raise InvalidInput(f"{name}: expected {sample_rate_hz} Hz, got {clip.sample_rate_hz} Hz")
    count = sample_rate_hz * seconds
    if clip.samples.shape != (count,):
        raise InvalidInput(f"{name}: expected samples [{count}] ({seconds} s), got {list(clip.samples.shape)}")
    if clip.valid_samples >= count:
        return clip
    grid = clip.samples.copy()
    grid[max(clip.valid_samples, 0) :] = 0.0
    return Waveform(grid, clip.sample_rate_hz, clip.valid_samples)


def check_windows(windows: Windows, *, name: str, clip_seconds: int, only: float | None = None) -> None:
    """Check windows that were asked for.

    Args:
        windows: as asked for.
        name: of the backbone, for errors.
        clip_seconds: length of every clip.
        only: the one length that the backbone takes; ``None`` for any.

    Raises:
        UnknownBackbone: If a backbone cannot look at the sound so.
    """
    if only is not None and windows.window_seconds != only:
        raise UnknownBackbone(f"backbone {name!r}: it looks at {only:g} s of sound at a time: use --window {only:g}")
    for what, seconds in (("window", windows.window_seconds), ("hop", windows.hop_seconds)):
        if seconds <= 0 or abs(seconds / FRAME_SECONDS - round(seconds / FRAME_SECONDS)) > 1e-6:
            raise UnknownBackbone(f"backbone {name!r}: its {what} is {seconds:.9g} s; expected hundredths of a second")
    if windows.window_seconds > clip_seconds:
        raise UnknownBackbone(
            f"backbone {name!r}: its window is {windows.window_seconds:g} s, but clips have {clip_seconds} s"
        )


def windows_of(
    samples: NDArray[np.float32], windows: Windows, *, clip_seconds: int, sample_rate_hz: int
) -> NDArray[np.float32]:
    """Cut the samples of a clip into windows, ``[windows, samples]``."""
    starts = windows.starts_samples(clip_seconds, sample_rate_hz=sample_rate_hz)
    return np.lib.stride_tricks.sliding_window_view(samples, round(windows.window_seconds * sample_rate_hz))[starts]


def sound_spec(extractor: Extractor, *, dim: int, description: str) -> FeatureSpec:
    """The array of an audio backbone: a step for each second, or for each window.

    Args:
        extractor: names the array, and says which windows.
        dim: values a step.
        description: one line for people that says "each second".
    """
    windows = extractor.windows
    if windows is None:
        return FeatureSpec(
            extractor.array_name, extractor.clip_seconds, dim, "audio", step_seconds=1.0, description=description
        )
    return FeatureSpec(
        extractor.array_name,
        windows.count(extractor.clip_seconds),
        dim,
        "audio",
        step_seconds=windows.hop_seconds,
        window_seconds=windows.window_seconds,
        description=description.replace("each second", f"each window of {windows.window_seconds:g} s"),
    )


def steps_valid(extractor: Extractor, sound: Waveform) -> NDArray[np.bool_]:
    """Which steps of :func:`sound_spec` the clip covers by at least half. Returns ``[steps]`` bool."""
    seconds = extractor.clip_seconds
    if extractor.windows is None:
        return sound.segment_valid(seconds)
    return sound.windows_valid(extractor.windows, clip_seconds=seconds)
