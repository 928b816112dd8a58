"""Checks a clip's samples against the view that an audio backbone asked for."""

from __future__ import annotations

from extractors.base import Frames, Waveform
from storage.errors import InvalidInput


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
