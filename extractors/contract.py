"""The contract of backbones, as a test helper: run :func:`check_contract` on your own backbone."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from extractors.base import Extractor, Features, Frames, Waveform
from extractors.engines.runtime import inference
from extractors.views import FrameView

TOLERANCE = 1e-5
"""Largest difference that a clip's neighbours in a batch may make, in units of ``max(1, largest value)``."""

Row = dict[str, Features]


def tiny_clips(extractor: Extractor, *, seed: int = 0) -> list[Frames | Waveform]:
    """Seeded inputs in the view of a backbone.

    Args:
        extractor: its view and its ``clip_seconds`` say what the clips look like. Make it with a short
            ``clip_seconds``, such as 2, where the network is heavy.
        seed: of the contents.

    Returns:
        Four clips: one full, another full, the first again but ended after half its length, and a black or
        silent one.
    """
    view, random = extractor.view, np.random.RandomState(seed)
    if isinstance(view, FrameView):
        count = view.frames(extractor.clip_seconds)
        first, second = (_pixels(random, count, view.size) for _ in range(2))
        half = max(count // 2, 1)
        cut = first.copy()
        cut[half:] = cut[half - 1]
        inside, everything = np.arange(count) < half, np.ones(count, dtype=bool)
        return [
            Frames(pixels, valid.copy(), view.frames_per_second)
            for pixels, valid in (
                (first, everything),
                (second, everything),
                (cut, inside),
                (np.zeros_like(first), everything),
            )
        ]
    count = view.sample_rate_hz * extractor.clip_seconds
    loud, other = (_samples(random, count, view.sample_rate_hz) for _ in range(2))
    ended = np.where(np.arange(count) < count // 2, loud, 0).astype(np.float32)
    clips = ((loud, count), (other, count), (ended, count // 2), (np.zeros_like(loud), count))
    return [Waveform(samples, view.sample_rate_hz, valid) for samples, valid in clips]


def check_contract(extractor: Extractor, clips: Sequence[Frames | Waveform] | None = None) -> list[Row]:
    """Check a loaded backbone against what the engine and the store rely on.

    Shapes, dtypes and masks as its specs say; the same bits from the same input; a clip's features independent
    of its neighbours, to the last bit in batches of one shape, at any place; a short clip masked past its end and
    the same before it; a black or silent clip finite; an empty batch and a missing modality answered; no input
    altered.

    Args:
        extractor: after :meth:`Extractor.load`.
        clips: as :func:`tiny_clips` makes them, which is the default.

    Returns:
        The features of the clips, to compare with those of another engine or device.

    Raises:
        AssertionError: With the backbone, the clip and what was expected.
    """
    clips = tiny_clips(extractor) if clips is None else clips
    _check_specs(extractor)
    _require(extractor.extract([]) == [], extractor, "an empty batch must give []")
    _check_rows(extractor, [extractor.empty()], what="empty()")
    _require(
        not any(f.valid.any() for f in extractor.empty().values()), extractor, "empty() must be invalid throughout"
    )
    before = [_data(clip).copy() for clip in clips]
    rows = extractor.extract(clips)
    _require(len(rows) == len(clips), extractor, f"{len(clips)} clips gave {len(rows)} rows")
    _check_rows(extractor, rows, what="clip")
    for index, row in enumerate(rows):
        for name, features in row.items():
            _require(bool(features.valid.any()), extractor, f"clip {index}: nothing of {name} is valid")
    again = extractor.extract(clips)
    for index, (row, second) in enumerate(zip(rows, again, strict=True)):
        _check_same(extractor, row, second, tolerance=0.0, what=f"clip {index} run twice")
    (alone,) = extractor.extract([clips[0]])
    _check_same(extractor, rows[0], alone, tolerance=TOLERANCE, what="clip 0 alone and among neighbours")
    for index, clip in enumerate(clips):
        _require(np.array_equal(before[index], _data(clip)), extractor, f"clip {index} was altered")
    _check_ends(extractor, clips, rows)
    _check_places(extractor, clips)
    return rows


def _check_specs(extractor: Extractor) -> None:
    names = [spec.name for spec in extractor.specs]
    _require(len(set(names)) == len(names) > 0, extractor, f"specs need distinct names, got {names}")
    for spec in extractor.specs:
        _require(re.fullmatch(r"[A-Za-z0-9._-]+", spec.name) is not None, extractor, f"{spec.name!r} is no group name")
        _require(spec.steps > 0 and spec.dim > 0, extractor, f"{spec.name}: steps and dim must be positive")
        _require(spec.modality == extractor.modality, extractor, f"{spec.name}: is {spec.modality}")
        if spec.step_seconds is not None:
            window = spec.step_seconds if spec.window_seconds is None else spec.window_seconds
            left = extractor.clip_seconds - (spec.steps - 1) * spec.step_seconds - window
            on_grid = abs(left) < 1e-9 if spec.window_seconds is None else -1e-9 < left < spec.step_seconds
            _require(on_grid, extractor, f"{spec.name}: {spec.time_grid}, of a clip of {extractor.clip_seconds} s")


def _check_rows(extractor: Extractor, rows: Sequence[Row], *, what: str) -> None:
    """Shapes, dtypes, and NaN exactly where not valid."""
    for index, row in enumerate(rows):
        names = [spec.name for spec in extractor.specs]
        _require(sorted(row) == sorted(names), extractor, f"{what} {index}: arrays {sorted(row)}, specs say {names}")
        for spec in extractor.specs:
            values, valid = row[spec.name].values, row[spec.name].valid
            where = f"{what} {index}, {spec.name}"
            shape = (spec.steps, spec.dim)
            _require(values.shape == shape, extractor, f"{where}: shape {values.shape}, spec says {shape}")
            _require(values.dtype == np.float32, extractor, f"{where}: dtype {values.dtype}, expected float32")
            _require(valid.shape == (spec.steps,) and valid.dtype == bool, extractor, f"{where}: a bad mask")
            _require(bool(np.isfinite(values[valid]).all()), extractor, f"{where}: valid steps are not finite")
            _require(bool(np.isnan(values[~valid]).all()), extractor, f"{where}: steps that are not valid must be NaN")


def _check_same(extractor: Extractor, one: Row, other: Row, *, tolerance: float, what: str) -> None:
    for name, features in one.items():
        second = other[name]
        _require(np.array_equal(features.valid, second.valid), extractor, f"{what}: {name} has another mask")
        a, b = features.values[features.valid], second.values[features.valid]
        limit = tolerance * float(np.abs(a).max(initial=0.0))
        worst = float(np.abs(a - b).max(initial=0.0))
        _require(worst <= limit, extractor, f"{what}: {name} differs by {worst:.3g}, at most {limit:.3g} is allowed")


def _check_ends(extractor: Extractor, clips: Sequence[Frames | Waveform], rows: Sequence[Row]) -> None:
    """Steps past the end of a short clip are masked, and no step of a full one is."""
    for index, (clip, row) in enumerate(zip(clips, rows, strict=True)):
        end_seconds = _end_seconds(clip)
        for spec in extractor.specs:
            if spec.step_seconds is None:
                continue
            starts = np.arange(spec.steps) * spec.step_seconds
            window = spec.step_seconds if spec.window_seconds is None else spec.window_seconds
            past, inside = starts >= end_seconds, starts + window <= end_seconds
            valid = row[spec.name].valid
            where = f"clip {index}, {spec.name}"
            _require(not valid[past].any(), extractor, f"{where}: steps past the end at {end_seconds} s are valid")
            _require(bool(valid[inside].all()), extractor, f"{where}: steps before the end are not valid")


def _check_places(extractor: Extractor, clips: Sequence[Frames | Waveform]) -> None:
    """In full batches, a unit's bits depend neither on its place, nor on its neighbours, nor on what fills it up."""
    import torch

    cut = [extractor.units(clip) for clip in clips]
    flat = np.concatenate([units.data[units.valid] for units in cut])
    size = extractor.cpu_batch
    first = flat[np.arange(size) % len(flat)]
    half = max(size // 2, 1)
    order = np.r_[np.arange(half)[::-1], np.zeros(size - half, dtype=int)]
    with inference(extractor.precision):
        one, other = (extractor.forward(torch.from_numpy(batch)) for batch in (first, first[order]))
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        same = (a[torch.from_numpy(order).to(a.device)] == b).flatten(1).all(dim=1)
        wrong = [f"{order[place]} at {place}" for place in (~same).nonzero().flatten().tolist()]
        _require(not wrong, extractor, f"output {number}: units have other bits at other places: {', '.join(wrong)}")


def _end_seconds(clip: Frames | Waveform) -> float:
    if isinstance(clip, Frames):
        return float(clip.valid.sum() / clip.frames_per_second)
    return clip.valid_samples / clip.sample_rate_hz


def _data(clip: Frames | Waveform) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return clip.pixels if isinstance(clip, Frames) else clip.samples


def _require(holds: bool, extractor: Extractor, message: str) -> None:
    if not holds:
        raise AssertionError(f"{extractor.name}: {message}")


def _pixels(random: np.random.RandomState, count: int, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Smooth coloured frames with some noise."""
    coarse = random.randint(0, 256, (count, 8, 8, 3)).astype(np.float32)
    step = -(-size // 8)
    smooth = coarse.repeat(step, axis=1).repeat(step, axis=2)[:, :size, :size]
    return np.clip(smooth + random.randint(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


def _samples(
    random: np.random.RandomState, count: int, rate_hz: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A tone with some noise."""
    tone = np.sin(2 * np.pi * random.uniform(200, 2000) * np.arange(count) / rate_hz)
    return np.asarray(0.4 * tone + 0.1 * random.uniform(-1, 1, count), dtype=np.float32)
