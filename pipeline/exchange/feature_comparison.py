"""Compares a store's features with a published ``.npy`` folder, and says why they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.exchange import difference_measures as measures
from pipeline.exchange.difference_causes import Cause, Sample, likely_causes
from pipeline.exchange.difference_measures import Floats
from pipeline.exchange.importing import find_file
from pipeline.exchange.npy_layouts import LAYOUTS, LayoutPart
from pipeline.foreign_arrays import read_npy
from storage.errors import InvalidInput
from storage.store import FeatureStore
from storage.tables.file_stems import FileStems

TOLERANCE = 1e-3
_READ_CLIPS = 64
_SAMPLED_CLIPS = 64
NO_SINGLE_CAUSE = "no single cause"


@dataclass
class ArrayComparison:
    """What was found about one array.

    Attributes:
        array: its name.
        clips: that were compared.
        equal: of these, clips without a value that differs by more than the tolerance.
        no_file: clips with features and without a file.
        no_features: clips with a file and without features, or not all steps of them.
        unusable: clips of which the file cannot be used, with the first reason.
        shapes: ``stepsxdim`` of the store and of the first file.
        cosine: mean over the steps of all clips.
        worst: the clip with the lowest cosine, and that cosine.
        largest: the largest difference, and its clip and step.
        offset: steps that the published come later in the store, and the correlation there; ``None`` if nothing
            varies in time. Of clips that differ.
        step_seconds: between steps; ``None`` where they are not on the time grid.
        norm_ratio: length of the store's over that of the published.
        normalised: whether the store's and the published have length 1.
        causes: why they differ, the likeliest first.
    """

    array: str
    clips: int = 0
    equal: int = 0
    no_file: int = 0
    no_features: int = 0
    unusable: tuple[int, str] = (0, "")
    shapes: tuple[str, str] = ("", "")
    cosine: float = 0.0
    worst: tuple[str, float] = ("", 2.0)
    largest: tuple[float, str, int] = (-1.0, "", 0)
    offset: tuple[int, float] | None = None
    step_seconds: float | None = None
    norm_ratio: float = 0.0
    normalised: tuple[bool, bool] = (True, True)
    causes: tuple[Cause, ...] = field(default=())

    def verdict(self, tolerance: float) -> str:
        """The likeliest cause in words, or that there is no difference."""
        if self.clips and self.equal == self.clips:
            return f"equal within {tolerance:g}"
        words = "; and ".join(cause.words for cause in self.causes) or NO_SINGLE_CAUSE
        some = f"{self.equal} of {self.clips} clips are equal within {tolerance:g}; the others: " if self.equal else ""
        return some + words


def default_parts(store: FeatureStore, folder: Path) -> tuple[LayoutPart, ...]:
    """Parts of any published layout that the store has an array for and the folder a file.

    Raises:
        InvalidInput: If there is none.
    """
    stems = FileStems(store.ids)
    parts = {(part.array, part.pattern): part for layout in LAYOUTS.values() for part in layout}
    found = tuple(
        part for part in parts.values()
        if part.array in store.features and any(find_file(part, folder, stems, clip) for clip in stems.ids)
    )  # fmt: skip
    if not found:
        raise InvalidInput(
            f"{folder}: has no files of {store.url}'s arrays ({', '.join(store.features) or 'none'}) in any of the "
            f"layouts {', '.join(LAYOUTS)}. Give --layout NAME=PATTERN:DIM with the array's NAME"
        )
    return found


def compare_features(
    store: FeatureStore, folder: Path, parts: Sequence[LayoutPart] | None = None, *, tolerance: float = TOLERANCE
) -> list[ArrayComparison]:
    """Compare arrays of a store with the files of a folder.

    Args:
        store: with features of one's own.
        folder: with the published files.
        parts: the layout; :func:`default_parts` if not given.
        tolerance: how much a value may differ: this share of its size, plus this share of the root mean square of the
            published values of its clip.

    Raises:
        InvalidInput: If there is no such folder, the store has none of the arrays, or no clip can be compared.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder")
    chosen = default_parts(store, folder) if parts is None else [part for part in parts if part.array in store.features]
    if not chosen:
        names = ", ".join(part.array for part in parts or ())
        raise InvalidInput(f"{store.url}: has none of {names}; there are {', '.join(store.features) or 'no features'}")
    return [_Comparing(store, folder, part, tolerance).run() for part in chosen]


class _Comparing:
    """Compares one array clip by clip, and keeps clips that differ for the causes."""

    def __init__(self, store: FeatureStore, folder: Path, part: LayoutPart, tolerance: float) -> None:
        self._store = store
        self._folder = folder
        self._part = part
        self._tolerance = tolerance
        self._spec = store.spec(part.array)
        self._found = ArrayComparison(part.array, step_seconds=self._spec.step_seconds)
        self._kept: list[tuple[str, Floats, Floats]] = []
        self._squares = np.zeros(2)

    def run(self) -> ArrayComparison:
        """Compare all clips."""
        found, cosine = self._found, 0.0
        for clip, ours, theirs in self._pairs():
            if not found.shapes[0]:
                found.shapes = (f"{ours.shape[0]}x{ours.shape[1]}", f"{theirs.shape[0]}x{theirs.shape[1]}")
            pair = _of_one_shape(ours, theirs)
            if pair is None:
                self._unusable(f"has the shape {list(theirs.shape)}, the store's {list(ours.shape)}")
                continue
            cosine += self._add(clip, *pair)
        if not found.clips:
            return self._nothing_compared()
        found.cosine = cosine / found.clips
        found.norm_ratio = float(np.sqrt(self._squares[0] / max(self._squares[1], 1e-24)))
        if self._kept:
            self._look_for_causes()
        return found

    def _pairs(self) -> Iterator[tuple[str, Floats, Floats]]:
        """Clip by clip: the store's values and the file's."""
        stems, name = FileStems(self._store.ids), self._part.array
        for first in range(0, len(stems.ids), _READ_CLIPS):
            span = slice(first, min(first + _READ_CLIPS, len(stems.ids)))
            whole, values = self._store.valid(name, span).all(axis=1), self._store.read(name, span)
            for at, clip in enumerate(stems.ids[span]):
                file = find_file(self._part, self._folder, stems, clip)
                self._found.no_file += int(file is None and bool(whole[at]))
                self._found.no_features += int(file is not None and not whole[at])
                if file is not None and whole[at]:
                    try:
                        yield clip, values[at].astype(np.float32), _published(file)
                    except InvalidInput as problem:
                        self._unusable(str(problem))

    def _unusable(self, reason: str) -> None:
        number, first = self._found.unusable
        self._found.unusable = (number + 1, first or reason)

    def _add(self, clip: str, ours: Floats, theirs: Floats) -> float:
        """Count one clip; returns its cosine."""
        found = self._found
        found.clips += 1
        cosine = float(measures.cosines(ours, theirs).mean())
        found.worst = min(found.worst, (clip, cosine), key=lambda one: one[1])
        difference = np.abs(ours - theirs)
        step = int(difference.max(axis=1).argmax())
        found.largest = max(found.largest, (float(difference[step].max()), clip, step), key=lambda one: one[0])
        self._squares += [float((values.astype(np.float64) ** 2).sum()) for values in (ours, theirs)]
        found.normalised = (
            found.normalised[0] and measures.is_normalised(ours), found.normalised[1] and measures.is_normalised(theirs)
        )  # fmt: skip
        typical = float(np.sqrt((theirs.astype(np.float64) ** 2).mean()))
        if (difference <= self._tolerance * (np.abs(theirs) + typical)).all():
            found.equal += 1
        elif len(self._kept) < _SAMPLED_CLIPS:
            self._kept.append((clip, ours, theirs))
        return cosine

    def _look_for_causes(self) -> None:
        clips, ours, theirs = zip(*self._kept, strict=True)
        sample = Sample(clips, np.stack(ours), np.stack(theirs), self._spec.modality, self._spec.step_seconds)
        self._found.offset = measures.best_shift(sample.ours, sample.theirs)
        self._found.causes = likely_causes(sample)
        if self._found.shapes[0] != self._found.shapes[1]:
            words = f"other steps: {self._found.shapes[0]} in the store, {self._found.shapes[1]} in the files"
            self._found.causes = (Cause("steps", f"{words}, compared as means"), *self._found.causes)

    def _nothing_compared(self) -> ArrayComparison:
        number, reason = self._found.unusable
        store, files = self._found.shapes
        (_, _, stored), (_, _, published) = store.partition("x"), files.partition("x")
        if stored != published:
            sizes = f"{stored} values a step in the store, {published} in the files"
            return replace(self._found, causes=(Cause("dim", f"another backbone, layer or projection: {sizes}"),))
        if store != files:
            words = f"other steps: {store} in the store, {files} in the files, so no step has a partner"
            return replace(self._found, causes=(Cause("steps", words),))
        why = f": {number} files cannot be used, the first because {reason}" if number else ""
        raise InvalidInput(f"{self._folder}: no clip has both {self._part.array} in {self._store.url} and a file{why}")


def _published(file: Path) -> Floats:
    """The values of a file ``[steps, dim]``."""
    found: Any = read_npy(file, "not a .npy file")
    if found.dtype.kind not in "fiu" or not found.size or not np.isfinite(found).all():
        raise InvalidInput(f"{file}: expected numbers that are finite, got {found.dtype} {list(found.shape)}")
    return np.asarray(found.reshape(1, -1) if found.ndim == 1 else found.reshape(len(found), -1), dtype=np.float32)


def _of_one_shape(ours: Floats, theirs: Floats) -> tuple[Floats, Floats] | None:
    """Both with as many steps, the more numerous averaged where the numbers allow it."""
    steps = min(len(ours), len(theirs))
    if ours.shape[1] != theirs.shape[1] or len(ours) % steps or len(theirs) % steps:
        return None
    one, other = (values.reshape(steps, -1, values.shape[1]).mean(axis=1) for values in (ours, theirs))
    return one, other
