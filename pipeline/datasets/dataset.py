"""Makes training batches from a store and annotations.

Features are held in memory, averaged over segments (:mod:`pipeline.datasets.memory`). LLP's classic features take
1.3 GB. CLAP's feature map has no segments and is kept whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.datasets.clip_labels import ClipLabels
from pipeline.datasets.memory import InMemory, load_segments
from pipeline.recipes.recipe import FeaturesRecipe
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.schema import Status
from storage.store import FeatureStore
from storage.tables.file_stems import FileStems

Missing = Literal["skip", "error"]
Labels = TypeVar("Labels", bound=ClipLabels)
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of clips.

    Attributes:
        features: by stream: ``[clips, steps, dim]``.
        weak: ``[clips, classes]`` float.
        audio: pseudo labels ``[clips, segments, classes]`` float, or ``None``.
        visual: the same for the visual stream.
        segments: ``[clips, segments]`` int64, the class of each; ``None`` where segments may have several.
    """

    features: Mapping[str, Tensor]
    weak: Tensor
    audio: Tensor | None
    visual: Tensor | None
    segments: Tensor | None = None

    def __len__(self) -> int:
        return len(self.weak)


@dataclass(frozen=True, eq=False)
class ClipSet(Generic[Labels]):
    """The clips of one split that have all features.

    Attributes:
        annotations: of these clips, in order.
        rows: their rows in the store.
        features: by stream.
        pseudo: audio and visual pseudo labels ``[clips, segments, classes]``, hard or soft, or ``None``.
        skipped: clips left out, by reason.
    """

    annotations: Labels
    rows: NDArray[np.intp]
    features: Mapping[str, InMemory]
    pseudo: tuple[NDArray[Any], NDArray[Any]] | None
    skipped: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Size of the features in memory, in bytes."""
        return sum(stream.values.nbytes for stream in self.features.values())

    def batch(self, places: NDArray[np.intp]) -> Batch:
        """A batch of clips by their positions in this set."""
        weak = torch.from_numpy(self.annotations.weak[places].astype(np.float32))
        kinds = [torch.from_numpy(kind[places].astype(np.float32)) for kind in self.pseudo or ()]
        audio, visual = kinds or (None, None)
        features = {name: torch.from_numpy(stream.batch(places)) for name, stream in self.features.items()}
        classes = self.annotations.segment_classes
        segments = None if classes is None else torch.from_numpy(classes[places])
        return Batch(features, weak, audio, visual, segments)


def batches(count: int, size: int, *, seed: int, epoch: int) -> Iterator[NDArray[np.intp]]:
    """Shuffled batches of positions, determined by seed and epoch; the last batch may be smaller."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    for first in range(0, count, size):
        yield order[first : first + size]


def check_features(store: FeatureStore, recipe: FeaturesRecipe) -> None:
    """Raise InvalidInput if the store lacks an array that the recipe names."""
    for stream, name in recipe.streams().items():
        if name not in store.features:
            there = ", ".join(store.features) or "none"
            raise InvalidInput(
                f"{store.url}: the recipe needs {stream} {name!r}, the store has {there}. "
                f"Extract it, or set features.{stream} to one of these"
            )


def load_split(
    store: FeatureStore,
    annotations: Labels,
    recipe: FeaturesRecipe,
    split: str,
    *,
    missing: Missing = "skip",
    with_pseudo: bool = False,
) -> ClipSet[Labels]:
    """Load the clips of a split.

    Args:
        store: with the recipe's arrays.
        annotations: of all splits.
        recipe: names of arrays.
        split: ``train``, ``val`` or ``test``.
        missing: ``skip`` clips that lack a feature, or call it an ``error``.
        with_pseudo: also read the recipe's pseudo labels.

    Raises:
        InvalidInput: If the store lacks an array or the split's clips, clips are missing and may not be, or the store
            has one row for two annotated clips.
        SchemaMismatch: If pseudo labels are for other classes.
    """
    check_features(store, recipe)
    part = annotations.split(split)
    rows, skipped = _rows(store, part, recipe, FileStems(annotations.ids))
    if missing == "error" and skipped:
        raise InvalidInput(f"{store.url}: {split}: {_said(skipped)}. Extract them, or use --missing skip")
    places = np.flatnonzero(rows >= 0)
    if len(places) == 0:
        raise InvalidInput(f"{store.url}: no clip of {split} has all features: {_said(skipped)}")
    chosen = rows[places]
    features = {
        stream: _load(store, name, chosen, segments=annotations.dataset.segments)
        for stream, name in recipe.streams().items()
    }
    pseudo = _pseudo(store, recipe.pseudo_labels, chosen, annotations) if with_pseudo and recipe.pseudo_labels else None
    kept = part.align([part.ids[place] for place in places], asker=split)
    return ClipSet(kept, chosen, features, pseudo, skipped)


def _rows(
    store: FeatureStore, part: ClipLabels, recipe: FeaturesRecipe, stems: FileStems
) -> tuple[NDArray[np.intp], Counter[str]]:
    """Store rows of annotated clips, -1 for those that cannot be used, and the reasons."""
    row_of = {name: row for row, name in enumerate(store.ids)}
    found = [stems.find(name, row_of.__contains__, where=store.url) for name in part.ids]
    rows = np.array([-1 if name is None else row_of[name] for name in found], dtype=np.intp)
    skipped: Counter[str] = Counter()
    if absent := int((rows < 0).sum()):
        skipped["not in the store"] = absent
    for name in recipe.streams().values():
        usable = rows >= 0
        whole = store.valid(name, rows[usable]).all(axis=1)
        codes = store.status(name)[rows[usable]]
        for code in codes[~whole]:
            # A clip with some steps only is "ok" there and still not whole.
            reason = Status(int(code)).label if not Status(int(code)).has_features else "not all of its seconds"
            skipped[f"{name}: {reason}"] += 1
        rows[np.flatnonzero(usable)[~whole]] = -1
    return rows, skipped


def _said(skipped: Mapping[str, int]) -> str:
    return "; ".join(f"{count} clips: {reason}" for reason, count in skipped.items()) or "it has no clips"


def _load(store: FeatureStore, name: str, rows: NDArray[np.intp], *, segments: int) -> InMemory:
    steps = store.spec(name).steps
    return load_segments(store, name, rows, segments=segments if steps % segments == 0 else steps)


def _pseudo(
    store: FeatureStore, teacher: str, rows: NDArray[np.intp], annotations: ClipLabels
) -> tuple[NDArray[Any], NDArray[Any]]:
    labels = LabelStore.open(store.url).read_pseudo_labels(teacher, classes=annotations.dataset.classes)
    unknown = rows[~labels.known[rows]]
    if len(unknown):
        some = ", ".join(store.ids[row] for row in unknown[:_SHOWN])
        raise InvalidInput(
            f"{store.url}: pseudo_labels/{teacher} says nothing of {len(unknown)} clips of train, e.g. {some}. "
            f"Make them: avvp pseudo-labels --store {store.url} --teacher {teacher}"
        )
    return labels.audio[rows], labels.visual[rows]


def label_vectors(store: FeatureStore, name: str, classes: Sequence[str]) -> Tensor:
    """Label embeddings ``[classes, dim]`` float32.

    Raises:
        StoreError: If the store has none of that name.
        SchemaMismatch: If they are for other classes.
    """
    return torch.from_numpy(LabelStore.open(store.url).read_embeddings(name, classes=classes).vectors)
