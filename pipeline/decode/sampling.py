"""Chooses the source frame for each position of a clip's time grid. Pure functions on timestamps.

``uniform`` is ours: the frame on screen at ``k / fps`` seconds. ``published`` repeats what the papers' scripts did:
``ffmpeg -i FILE -r 8 %06d.jpg``, then ``linspace`` over the jpgs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

DUMP_FRAMES_PER_SECOND = 8
"""The rate of the papers' jpg dump, whatever rate a backbone then takes from it."""
_SAME_TIME_SECONDS = 1e-6
"""Timestamps are rounded to ticks and microseconds; a frame this little after a grid time is on screen at it."""
_DROP_LIMIT = 1.1
_HALF_TICK_NUDGE = 1 / (1 << 17)


@dataclass(frozen=True)
class GridFrames:
    """Source frames of one grid.

    Attributes:
        index: ``[frames]`` source frame in presentation order.
        valid: ``[frames]`` bool, false past the end of the clip.
    """

    index: NDArray[np.int64]
    valid: NDArray[np.bool_]


def uniform_grid(
    pts_seconds: NDArray[np.float64],
    *,
    frames_per_second: float,
    frames: int,
    end_seconds: float,
    start_seconds: float = 0.0,
) -> GridFrames:
    """The frame on screen at each grid time.

    Args:
        pts_seconds: ``[source frames]``, ascending.
        frames_per_second: the grid's rate.
        frames: positions in the grid.
        end_seconds: end of the clip on the clock of ``pts_seconds``; nothing is valid from there on.
        start_seconds: time of grid position 0 on that clock.

    Returns:
        Last frame with ``pts <= t``; before the first frame, the first. Rows past the end repeat the last valid one.

    Raises:
        ValueError: If there are no source frames.
    """
    if len(pts_seconds) == 0:
        raise ValueError("no source frames to choose from")
    times = start_seconds + np.arange(frames) / frames_per_second
    valid = times < end_seconds - _SAME_TIME_SECONDS
    index = np.searchsorted(pts_seconds, times + _SAME_TIME_SECONDS, side="right") - 1
    index = np.clip(index, 0, None)
    if valid.any():
        index[~valid] = index[valid][-1]
    else:
        index[:] = 0
    return GridFrames(index.astype(np.int64), valid)


def published_grid(
    pts: NDArray[np.int64], durations: NDArray[np.int64], *, time_base: Fraction, frames: int
) -> GridFrames:
    """The frames that the papers' scripts picked: all valid, first and last frame of the dump included.

    Args:
        pts: ``[source frames]`` ticks from the zero of ffmpeg's clock, ascending.
        durations: ``[source frames]`` ticks.
        time_base: seconds a tick.
        frames: how many the script took, e.g. 80, or 10 for VALOR's CLIP.

    Returns:
        ``frames`` positions. Indices repeat where the dump is shorter than that, as in the scripts.

    Raises:
        ValueError: If there are no source frames.
    """
    dump = constant_rate_frames(pts, durations, time_base=time_base, frames_per_second=DUMP_FRAMES_PER_SECOND)
    if len(dump) == 0:
        raise ValueError("no source frames to choose from")
    # numpy rounds half to even, as the scripts' np.round does.
    taken = np.round(np.linspace(0, len(dump) - 1, frames)).astype(np.int64)
    return GridFrames(dump[taken], np.ones(frames, dtype=bool))


def constant_rate_frames(
    pts: NDArray[np.int64], durations: NDArray[np.int64], *, time_base: Fraction, frames_per_second: int
) -> NDArray[np.int64]:
    """Source frame of each output of ``ffmpeg -r``: the constant-frame-rate branch of its video sync.

    Args:
        pts: ``[source frames]`` ticks from ffmpeg's zero, ascending.
        durations: ``[source frames]`` ticks, 0 where unknown.
        time_base: seconds a tick.
        frames_per_second: output rate.

    Returns:
        ``[output frames]`` indices into ``pts``.

    Source: the behaviour of fftools' ``video_sync_process``; a test compares with ffmpeg itself.
    """
    output: list[int] = []
    repeats: list[int] = []
    tick = float(time_base * frames_per_second)
    previous: int | None = None
    # ffmpeg moves a frame with the time of the one before it to the next tick.
    pts = np.maximum.accumulate(pts - np.arange(len(pts))) + np.arange(len(pts))
    for index, (at, lasts) in enumerate(zip(_output_ticks(pts, time_base, frames_per_second), durations, strict=True)):
        length = float(_estimated_duration(pts, int(lasts), index)) * tick
        count, of_previous = _repetitions(at - len(output), length)
        for position in range(count):
            use_previous = position < of_previous and previous is not None
            output.append(previous if use_previous and previous is not None else index)
        repeats.append(of_previous)
        previous = index
    if previous is not None:
        last_three = [0, 0, 0, *repeats[-3:]][-3:]
        output += [previous] * sorted(last_three)[1]
    return np.array(output, dtype=np.int64)


def _repetitions(drift: float, length: float) -> tuple[int, int]:
    """How often to put out a frame, and how many of these show the one before it.

    Args:
        drift: where the frame falls, in output ticks from the next free one.
        length: its duration in output ticks.
    """
    stop = drift + length
    if drift < 0 < stop:
        drift = 0.0
    if stop < -_DROP_LIMIT:
        return 0, 0
    if stop > _DROP_LIMIT:
        return round(stop), round(drift - 0.6) if drift > _DROP_LIMIT else 0
    return 1, 0


def _output_ticks(pts: NDArray[np.int64], time_base: Fraction, frames_per_second: int) -> Iterator[float]:
    """Times in output ticks, rounded as ffmpeg rounds them (16 extra bits, then off the exact midpoint)."""
    extra_bits = min(max(29 - (frames_per_second.bit_length() - 1), 0), 16)
    scale = time_base * frames_per_second * (1 << extra_bits)
    over, under = scale.numerator, scale.denominator
    for value in pts.tolist():
        nearest = (2 * abs(value) * over + under) // (2 * under)
        ticks = (nearest if value >= 0 else -nearest) / (1 << extra_bits)
        if ticks != round(ticks):
            ticks += _HALF_TICK_NUDGE if ticks > 0 else -_HALF_TICK_NUDGE
        yield ticks


def _estimated_duration(pts: NDArray[np.int64], duration: int, index: int) -> int:
    """The guess of ffmpeg where a packet's duration is absent."""
    since_last = int(pts[index] - pts[index - 1]) if index else -1
    if duration > 0:
        return duration
    if since_last > 0:
        return since_last
    return max(duration, 1)
