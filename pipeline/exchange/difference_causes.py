"""Names the likeliest reason why two sets of features of the same clips differ.

Each hypothesis undoes one fault on a sample of clips; it holds if little of the difference is left. What is left is
looked at again, so features that are normalised and shifted get two causes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.exchange import difference_measures as measures
from pipeline.exchange.difference_measures import Floats
from storage.schema import Modality

EXPLAINED = 0.02
"""A gap that needs no further cause: JPEG, float16 and other decoders leave as much."""

_EXPLAINED_SHARE = 0.25
_ROUNDS = 3
_LEVELS_PER_UNIT = 255 / 4
_SAME_NUMBERS = 1e-3
"""The gap of equal numbers in another order; sorted numbers of one distribution differ by a few times more."""

_VGGISH_DIM = 128
_LEAST_STRUCTURE = 0.3


@dataclass(frozen=True)
class Sample:
    """Clips that both sides have and that differ.

    Attributes:
        clips: ids.
        ours: the store's ``[clips, steps, dim]``.
        theirs: the published, likewise.
        modality: of the features.
        step_seconds: between steps; ``None`` where they are not on the time grid.
    """

    clips: tuple[str, ...]
    ours: Floats
    theirs: Floats
    modality: Modality
    step_seconds: float | None

    @property
    def gap(self) -> float:
        """See :func:`pipeline.exchange.difference_measures.gap`."""
        return measures.gap(self.ours, self.theirs)


@dataclass(frozen=True)
class Cause:
    """A reason for a difference.

    Attributes:
        name: one word for programs.
        words: a sentence without its full stop.
        left: the sample without this difference; ``None`` where it cannot be undone.
    """

    name: str
    words: str
    left: Sample | None = None


def likely_causes(sample: Sample) -> tuple[Cause, ...]:
    """The likeliest causes, the first first; none if no hypothesis fits."""
    if sample.gap <= EXPLAINED:
        return (_eight_bits(sample) or _small(sample),)
    found: list[Cause] = []
    while len(found) < _ROUNDS and sample.gap > EXPLAINED:
        names = {cause.name for cause in found}
        fitting = (cause for test in _HYPOTHESES if (cause := test(sample)) and cause.name not in names)
        cause = next(fitting, None)
        if cause is None:
            break
        found.append(cause)
        if cause.left is None:
            break
        sample = cause.left
    return tuple(found)


def _small(sample: Sample) -> Cause:
    words = f"almost the same: the difference is {100 * sample.gap:.2g} % of the published, as other rounding, JPEG or"
    return Cause("small", f"{words} another decoder makes it")


def _fits(before: Sample, ours: Floats, theirs: Floats) -> Sample | None:
    """The sample after a fault was undone, if that explains most of the gap."""
    after = replace(before, ours=ours, theirs=theirs)
    return after if after.gap <= max(EXPLAINED, _EXPLAINED_SHARE * before.gap) else None


def _undone(name: str, words: str, left: Sample | None) -> Cause | None:
    return None if left is None else Cause(name, words, left)


def _normalisation(sample: Sample) -> Cause | None:
    ours, theirs = measures.is_normalised(sample.ours), measures.is_normalised(sample.theirs)
    if ours == theirs:
        return None
    one, other = ("published", "store's") if theirs else ("store's", "published")
    left = replace(sample, ours=measures.normalised(sample.ours), theirs=measures.normalised(sample.theirs))
    return Cause("normalisation", f"the {one} features are L2-normalised, the {other} are not", left)


def _scale(sample: Sample) -> Cause | None:
    factor = float(np.vdot(sample.ours, sample.theirs)) / max(float(np.vdot(sample.ours, sample.ours)), 1e-12)
    if factor <= 0 or abs(factor - 1) <= EXPLAINED or float(measures.cosines(sample.ours, sample.theirs).mean()) < 0.9:
        return None
    left = _fits(sample, sample.ours * np.float32(factor), sample.theirs)
    words = f"another scale: the store's features are {1 / factor:.3g} times the published"
    return _undone("scale", words, left)


def _shift(sample: Sample) -> Cause | None:
    best = measures.best_shift(sample.ours, sample.theirs)
    if best is None or best[0] == 0:
        return None
    left = _fits(sample, *measures.shifted(sample.ours, sample.theirs, best[0]))
    return _undone("shift", f"shifted: the published come {_later(sample, best[0])} in the store", left)


def _later(sample: Sample, steps: float) -> str:
    count = f"{abs(steps):.2g} {'step' if abs(steps) == 1 else 'steps'}"
    seconds = "" if sample.step_seconds is None else f" ({abs(steps) * sample.step_seconds:.3g} s)"
    return f"{count}{seconds} {'later' if steps > 0 else 'earlier'}"


def _relu(sample: Sample) -> Cause | None:
    ours, theirs = (bool(values.min() < 0) for values in (sample.ours, sample.theirs))
    if ours == theirs:
        return None
    left = _fits(sample, np.maximum(sample.ours, 0), np.maximum(sample.theirs, 0))
    one, other = ("published", "store's") if ours else ("store's", "published")
    return _undone("relu", f"the {one} features are after a ReLU, the {other} before it", left)


def _eight_bits(sample: Sample) -> Cause | None:
    ours, theirs = _is_bytes(sample.ours), _is_bytes(sample.theirs)
    if ours and theirs and np.abs(sample.ours - sample.theirs).max() <= 1:
        return Cause("eight-bits", "both are 8-bit numbers; one side rounds, the other cuts off")
    if ours == theirs:
        return None
    numbers, whole = (sample.ours, sample.theirs) if theirs else (sample.theirs, sample.ours)
    one, other = ("published", "store's") if theirs else ("store's", "published")
    kind = "8-bit VGGish after AudioSet's PCA" if numbers.shape[2] == _VGGISH_DIM else "8-bit whole numbers"
    quantised = np.round((np.clip(numbers, -2, 2) + 2) * np.float32(_LEVELS_PER_UNIT))
    if numbers.min() < 0 and measures.gap(quantised, whole) <= EXPLAINED:
        return Cause("eight-bits", f"the {one} features are {kind}, the {other} the same before the 8 bits")
    alike = measures.structure(numbers, whole)
    if alike is not None and alike < _LEAST_STRUCTURE / 2:  # half: whitening hides most of it
        return None
    raw = "raw embeddings" if numbers.min() >= 0 else "not"
    return Cause("eight-bits", f"the {one} features are {kind}, the {other} are {raw}")


def _is_bytes(values: Floats) -> bool:
    return bool(values.min() >= 0 and 1 < values.max() <= 255 and (values == np.round(values)).all())


def _step_order(sample: Sample) -> Cause | None:
    steps = sample.ours.shape[1]
    matches = measures.matching_steps(sample.ours, sample.theirs)
    order = np.array([np.bincount(column, minlength=steps).argmax() for column in matches.T])
    if len(set(order.tolist())) < steps or (order == np.arange(steps)).all():
        return None
    left = _fits(sample, sample.ours[:, order], sample.theirs)
    how = "reversed in time" if (order == np.arange(steps)[::-1]).all() else f"in the order {_list(order.tolist())}"
    return _undone("step-order", f"the published steps are the store's {how}", left)


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:4])) + (" …" if len(numbers) > 4 else "")


def _dim_order(sample: Sample) -> Cause | None:
    for flat, where in ((sample.ours.shape, "a step"), ((len(sample.clips), 1, -1), "a clip")):
        ours, theirs = (np.sort(values.reshape(flat), axis=-1) for values in (sample.ours, sample.theirs))
        if measures.gap(ours, theirs) <= _SAME_NUMBERS:
            words = f"the same numbers in another order within {where}: axes flattened otherwise"
            return Cause("dim-order", f"{words}, such as channels first")
    return None


def _other_clips(sample: Sample) -> Cause | None:
    matches, alike = measures.matching_clips(sample.ours, sample.theirs)
    wrong = np.flatnonzero((matches != np.arange(len(matches))) & (alike >= 0.9))
    if len(wrong) < max(2, 0.3 * len(matches)):
        return None
    left = _fits(sample, sample.ours[matches[wrong]], sample.theirs[wrong])
    file, clip = (sample.clips[at] for at in (wrong[0], matches[wrong[0]]))
    words = f"files belong to other clips: that of {file!r} holds the store's {clip!r}"
    return _undone("other-clips", words, left and replace(left, clips=tuple(sample.clips[at] for at in wrong)))


def _sampling(sample: Sample) -> Cause | None:
    warp, now = measures.best_warp(sample.ours, sample.theirs), measures.correlation(sample.ours, sample.theirs)
    if warp is None or now is None or warp[2] < 0.8 or 1 - warp[2] > 0.5 * (1 - now):
        return None
    first, last, steps = warp[0], sample.ours.shape[1] - 1 + warp[1], sample.ours.shape[1]
    if max(abs(warp[0]), abs(warp[1])) < 0.2:
        return None
    if abs(warp[0] - warp[1]) < 0.3:
        return Cause("shift", f"shifted: the published come {_later(sample, (warp[0] + warp[1]) / 2)} in the store")
    words = f"other sampling: the {steps} published steps lie between the store's steps {first:.1f} and {last:.1f}"
    return Cause("sampling", f"{words}, evenly spaced")


def _linear_map(sample: Sample) -> Cause | None:
    spread = float(((sample.theirs - sample.theirs.mean(axis=(0, 1))) ** 2).sum())
    now = 1 - float(((sample.ours - sample.theirs) ** 2).sum()) / max(spread, 1e-12)
    fit = measures.linear_fit(sample.ours, sample.theirs)
    if fit is None or now > 0.5 or fit < 0.9:
        return None
    return Cause("linear-map", "the published are a linear map of the store's, such as PCA, whitening or a projection")


def _other_input(sample: Sample) -> Cause | None:
    best = measures.best_shift(sample.ours, sample.theirs)
    same_moments = best is None or (best[0] == 0 and best[1] > 0.3)
    if not same_moments or measures.centred_cosine(sample.ours, sample.theirs) < 0.5:
        return None
    if sample.modality == "visual":
        words = "other pixels of the same moments: another colour order (RGB or BGR), resize, crop, decoder or JPEG"
    else:
        words = "other samples of the same moments: another resampling, mix to mono, loudness or log-mel"
    return Cause("other-input", words)


def _other_backbone(sample: Sample) -> Cause | None:
    alike = measures.structure(sample.ours, sample.theirs)
    if alike is None or alike < _LEAST_STRUCTURE or abs(measures.centred_cosine(sample.ours, sample.theirs)) > 0.25:
        return None
    return Cause("other-backbone", "another backbone altogether, or other weights: only which clips are alike agrees")


_HYPOTHESES: tuple[Callable[[Sample], Cause | None], ...] = (
    _normalisation, _scale, _shift, _relu, _eight_bits, _step_order, _dim_order, _other_clips, _sampling, _linear_map,
    _other_input, _other_backbone,
)  # fmt: skip
