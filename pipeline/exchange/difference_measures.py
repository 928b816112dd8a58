"""Measures how two sets of features of the same clips are alike: gap, cosines, correlation in time, structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NORMALISED_WITHIN = 2e-3
"""How far from 1 the length of a normalised vector may be; float16 needs some of it."""

_TINY = 1e-12
_LEAST_VARIATION = 1e-4
_PROJECTED = 64
_WARP_CLIPS = 16
_WARP_OFFSETS = 33


def gap(ours: Floats, theirs: Floats) -> float:
    """Size of the difference over the size of the published: 0 for equal, about 1.4 for unrelated of one scale."""
    return float(np.linalg.norm(ours - theirs)) / max(float(np.linalg.norm(theirs)), _TINY)


def cosines(ours: Floats, theirs: Floats) -> Floats:
    """Cosine of each step, ``[..., steps]``; 1 for two zero vectors, 0 for one."""
    lengths = np.linalg.norm(ours, axis=-1), np.linalg.norm(theirs, axis=-1)
    product = np.einsum("...d,...d->...", ours, theirs)
    both_zero = (lengths[0] < _TINY) & (lengths[1] < _TINY)
    found = np.where(both_zero, 1.0, product / np.maximum(lengths[0] * lengths[1], _TINY))
    return np.asarray(found, dtype=np.float32)


def is_normalised(values: Floats) -> bool:
    """Whether every step has length 1."""
    return bool((np.abs(np.linalg.norm(values, axis=-1) - 1) < NORMALISED_WITHIN).all())


def normalised(values: Floats) -> Floats:
    """Every step brought to length 1."""
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), _TINY), dtype=np.float32)


def correlation(ours: Floats, theirs: Floats) -> float | None:
    """Correlation of what varies within clips, ``[clips, steps, dim]``; ``None`` where nothing does."""
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (ours, theirs))
    sizes = np.linalg.norm(one), np.linalg.norm(other)
    if sizes[0] < _LEAST_VARIATION * np.linalg.norm(ours) or sizes[1] < _LEAST_VARIATION * np.linalg.norm(theirs):
        return None
    return float(np.vdot(one, other) / (sizes[0] * sizes[1]))


def shifted(ours: Floats, theirs: Floats, steps: int) -> tuple[Floats, Floats]:
    """The common part if step ``t`` of the published is step ``t + steps`` of ours."""
    count = ours.shape[1] - abs(steps)
    return ours[:, max(steps, 0) :][:, :count], theirs[:, max(-steps, 0) :][:, :count]


def best_shift(ours: Floats, theirs: Floats) -> tuple[int, float] | None:
    """The shift in steps with the highest correlation, and that correlation; ``None`` where nothing varies in time.

    At least half of the steps must lie on each other.
    """
    found: list[tuple[float, int]] = []
    for steps in range(-(ours.shape[1] // 2), ours.shape[1] // 2 + 1):
        if ours.shape[1] - abs(steps) < 2:
            continue
        alike = correlation(*shifted(ours, theirs, steps))
        if alike is not None:
            found.append((round(alike, 4), steps))
    if not found:
        return None
    alike, steps = max(found, key=lambda one: (one[0], -abs(one[1])))
    return steps, alike


def best_warp(ours: Floats, theirs: Floats) -> tuple[float, float, float] | None:
    """Other moments, evenly spaced: where in our steps the first and the last published step lie.

    Our steps are interpolated. Looked for within two steps at either end, on some clips and a random projection.

    Returns:
        The offset of the first and of the last step, in our steps, and the correlation; ``None`` where nothing varies
        in time.
    """
    steps = ours.shape[1]
    if steps < 4:
        return None
    directions = np.random.default_rng(0).standard_normal((ours.shape[2], _PROJECTED)).astype(np.float32)
    one, other = (values[:_WARP_CLIPS] @ directions for values in (ours, theirs))
    best: tuple[float, float, float] | None = None
    for first in np.linspace(-2, 2, _WARP_OFFSETS):
        for last in np.linspace(-2, 2, _WARP_OFFSETS):
            moments = np.linspace(first, steps - 1 + last, steps)
            inside = (moments >= 0) & (moments <= steps - 1)
            if inside.sum() < steps // 2:
                continue
            alike = correlation(_at(one, moments[inside]), other[:, inside])
            if alike is not None and (best is None or alike > best[2]):
                best = float(first), float(last), alike
    return best


def _at(values: Floats, moments: NDArray[np.float64]) -> Floats:
    """Steps between the steps, linearly."""
    before = np.minimum(moments.astype(np.intp), values.shape[1] - 2)
    share = (moments - before).astype(np.float32)[None, :, None]
    return np.asarray(values[:, before] * (1 - share) + values[:, before + 1] * share, dtype=np.float32)


def matching_steps(ours: Floats, theirs: Floats) -> NDArray[np.intp]:
    """``[clips, steps]``: our step that is nearest to each published step of the same clip."""
    squares = (ours**2).sum(axis=2)[:, None, :] - 2 * np.einsum("ctd,csd->cts", theirs, ours)
    return np.asarray(squares.argmin(axis=2), dtype=np.intp)


def matching_clips(ours: Floats, theirs: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Our clip that is nearest to each published one by its mean, and the cosine of the two, less the common mean."""
    means = [values.mean(axis=1) for values in (ours, theirs)]
    one, other = (normalised(np.asarray(mean - means[0].mean(axis=0), dtype=np.float32)) for mean in means)
    alike = other @ one.T
    return np.asarray(alike.argmax(axis=1), dtype=np.intp), np.asarray(alike.max(axis=1), dtype=np.float32)


def centred_cosine(ours: Floats, theirs: Floats) -> float:
    """Mean cosine of the steps after the mean of all steps is taken away on either side."""
    one, other = (values - values.mean(axis=(0, 1)) for values in (ours, theirs))
    return float(cosines(one, other).mean())


def structure(ours: Floats, theirs: Floats) -> float | None:
    """Whether the same clips are alike in both: correlation of the cosines of all pairs of clips, whatever the dim.

    Returns:
        1 for equal structure, about 0 for none in common; ``None`` for fewer than six clips.
    """
    if len(ours) < 6:
        return None
    pairs = []
    for values in (ours, theirs):
        means = values.mean(axis=1)
        units = normalised(np.asarray(means - means.mean(axis=0), dtype=np.float32))
        pairs.append((units @ units.T)[np.triu_indices(len(units), 1)])
    if min(float(one.std()) for one in pairs) < _TINY:
        return None
    return float(np.corrcoef(pairs[0], pairs[1])[0, 1])


def linear_fit(ours: Floats, theirs: Floats) -> float | None:
    """How much of the published a linear map of ours explains, in clips that the map was not fitted to.

    Returns:
        1 for all of it; ``None`` where there are too few steps for a map.
    """
    half = len(ours) * 2 // 3
    dim = ours.shape[2]
    if dim > 512 or half * ours.shape[1] < 2 * dim or half == len(ours):
        return None
    flat = [np.concatenate([part.reshape(-1, dim), np.ones((part.shape[0] * part.shape[1], 1), np.float32)], axis=1)
            for part in (ours[:half], ours[half:])]  # fmt: skip
    known, asked = (part.reshape(-1, theirs.shape[2]) for part in (theirs[:half], theirs[half:]))
    solution = np.linalg.lstsq(flat[0], known, rcond=1e-4)[0]
    left = float(((flat[1] @ solution - asked) ** 2).sum())
    return 1 - left / max(float(((asked - known.mean(axis=0)) ** 2).sum()), _TINY)
