"""Turns clip ids, slices and row numbers into rows of a store."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storage.errors import InvalidInput
from storage.text import name_key


class RowLookup:
    """Finds the rows of a store.

    Args:
        count: of clips.
        ids: gives the clip ids in row order; called only to look ids up.
        url: of the store, for errors.
    """

    def __init__(self, count: int, ids: Callable[[], list[str]], *, url: str) -> None:
        self._count, self._ids, self._url = count, ids, url

    def numbers(self, rows: ArrayLike | slice | None) -> NDArray[np.intp]:
        """Row numbers of a selection: numbers (negative ones from the end), clip ids, a slice, or ``None`` for all."""
        every = np.arange(self._count)
        if rows is None or isinstance(rows, slice):
            return every[rows if rows is not None else slice(None)]
        wanted = np.atleast_1d(np.asarray(rows))
        if wanted.dtype.kind in "UT":
            return np.array([self.of(str(name)) for name in wanted], dtype=np.intp)
        if wanted.dtype.kind == "b":
            raise IndexError("rows must be numbers or ids, got a mask; give np.flatnonzero(mask)")
        wanted = wanted.astype(np.intp)
        if wanted.size and (wanted.min() < -self._count or wanted.max() >= self._count):
            raise IndexError(f"rows must lie in [0, {self._count}), got {wanted.min()} to {wanted.max()}")
        chosen: NDArray[np.intp] = every[wanted]
        return chosen

    @cached_property
    def _row_of_id(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self._ids())}

    @cached_property
    def _rows_of_key(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self._ids()):
            rows.setdefault(name_key(name), []).append(row)
        return rows

    def of(self, clip_id: str) -> int:
        """The row of a clip. An id in another Unicode normal form matches too, unless the store has both.

        Raises:
            InvalidInput: If the store has no such clip. The message names similar ids.
        """
        row = self._row_of_id.get(clip_id)
        if row is None and len(rows := self._rows_of_key.get(name_key(clip_id), [])) == 1:
            row = rows[0]
        if row is None:
            ids = self._ids()
            near = difflib.get_close_matches(clip_id, ids, n=3) or ids[:3]
            raise InvalidInput(
                f"{self._url}: no clip {clip_id!r} among {len(ids)}. There are, for instance: {', '.join(near)}"
            )
        return row
