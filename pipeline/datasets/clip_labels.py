"""Labels of clips, selected by name and by split: the base class of all datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.dataset_description import DatasetDescription
from storage.errors import InvalidInput

_SHOWN_IDS = 3


@dataclass(frozen=True, eq=False)
class ClipLabels:
    """Labels of clips, row by row.

    Attributes:
        dataset: classes and time grid.
        ids: row names.
        splits: the split of each row.
        weak: ``[videos, classes]``, what training may know of a video.
        source: the folder.
    """

    PER_ROW: ClassVar[tuple[str, ...]] = ("weak",)
    """Names of the arrays that have a row a video."""

    dataset: DatasetDescription
    ids: tuple[str, ...]
    splits: tuple[str, ...]
    weak: NDArray[Any]
    source: str = field(default="", kw_only=True)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def judged(self) -> bool:
        """Whether any row has ground truth for its segments."""
        return True

    @property
    def segment_classes(self) -> NDArray[np.int64] | None:
        """``[videos, segments]``, the class of each; ``None`` where segments may have several."""
        return None

    def split(self, name: str) -> Self:
        """The rows of one split.

        Raises:
            InvalidInput: If there are none.
        """
        rows = [row for row, split in enumerate(self.splits) if split == name]
        if not rows:
            there = ", ".join(dict.fromkeys(self.splits))
            raise InvalidInput(f"{self.source}: no clips of split {name!r}; there are {there}")
        return self._rows(rows)

    def align(self, ids: Sequence[str], *, asker: str = "the store") -> Self:
        """The same labels in the order of other row names, e.g. a store's.

        Args:
            ids: row names; each must be annotated, but not the other way round.
            asker: who wants them, for messages.

        Raises:
            InvalidInput: If some are not annotated.
        """
        row_of = {name: row for row, name in enumerate(self.ids)}
        if unknown := [name for name in ids if name not in row_of]:
            raise InvalidInput(f"{self.source}: has no labels for {_some(unknown)} of {asker}")
        return self._rows([row_of[name] for name in ids])

    def _rows(self, rows: Sequence[int]) -> Self:
        at = np.asarray(rows, dtype=np.intp)
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            splits=tuple(self.splits[row] for row in rows),
            **{name: getattr(self, name)[at] for name in self.PER_ROW},
        )


def named_once(ids: Sequence[str], known: Mapping[str, str], *, split: str, source: str) -> list[str]:
    """Row names of the labels for the names in a predictions file.

    Args:
        ids: as the file has them.
        known: the row name for each that may be asked for.
        split: for messages.
        source: the file, for messages.

    Raises:
        InvalidInput: If one is unknown, or there more than once.
    """
    if unknown := [name for name in ids if name not in known]:
        raise InvalidInput(f"{source}: {len(unknown)} ids are not in {split}, e.g. {unknown[0]!r}")
    full = [known[name] for name in ids]
    if len(set(full)) != len(full):
        twice = next(name for name in full if full.count(name) > 1)
        raise InvalidInput(f"{source}: {twice!r} is there more than once")
    return full


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN_IDS])
    return shown if len(names) <= _SHOWN_IDS else f"{shown} and {len(names) - _SHOWN_IDS} more"
