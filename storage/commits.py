"""Which shards of a store are committed, and what their records say of each file. Read again only after changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.ledger import Ledger, ShardState
from storage.shards.direct import DirectArray
from storage.shards.recorded import Recorded


class Commits:
    """The newest commits of a store's arrays. Safe to use from several threads.

    Args:
        ledger: gives the ledger of an array.
        version: gives a value that changes whenever a file is added to a folder.
        recorded_rows: how many clips a shard's newest record names: fewer than it has where the store has grown since.
        clips: rows of each array.
        shard_size: clips a shard.
    """

    def __init__(
        self,
        ledger: Callable[[str], Ledger],
        version: Callable[[str], Hashable],
        recorded_rows: Callable[[str, int], int],
        *,
        clips: int,
        shard_size: int,
    ) -> None:
        self._ledger = ledger
        self._version = version
        self._recorded_rows = recorded_rows
        self._clips = clips
        self._shard_size = shard_size
        self._known: dict[str, tuple[Hashable, dict[int, ShardState], NDArray[np.bool_]]] = {}
        self._files: dict[tuple[str, int, int], Mapping[str, Mapping[str, Any]]] = {}

    def forget(self, array: str) -> None:
        """A shard of this array was just committed: look again when somebody asks."""
        self._known.pop(array, None)

    def rows(self, array: str) -> NDArray[np.bool_]:
        """Which rows lie in a committed shard: ``[clips]`` bool. Commits of other processes are seen."""
        return self._current(array)[1]

    def recorded(self, array: str, files: DirectArray) -> Recorded:
        """What the ledger of ``array`` says of a file of ``files``, by the file's number."""
        return partial(self._recorded, array, files)

    def _recorded(self, array: str, files: DirectArray, number: int) -> Mapping[str, Any] | None:
        """``None`` without a record, and where a commit over it has begun: then the file may be the new one."""
        shard = files.rows_of(number).start // self._shard_size
        state = self._current(array)[0].get(shard)
        if state is None or state.interrupted:
            return None
        key = (array, shard, state.commit)
        if key not in self._files:
            self._files[key] = self._ledger(array).read(shard, state.commit).files
        return self._files[key].get(files.key(number))

    def _current(self, array: str) -> tuple[dict[int, ShardState], NDArray[np.bool_]]:
        ledger = self._ledger(array)
        version = self._version(ledger.folder)
        known = self._known.get(array)
        if known is not None and known[0] == version:
            return known[1:]
        states = ledger.states()
        rows = np.zeros(self._clips, dtype=bool)
        for shard in states:
            first = shard * self._shard_size
            rows[first : first + self._recorded_rows(array, shard)] = True
        rows.setflags(write=False)
        self._known[array] = (version, states, rows)
        return states, rows
