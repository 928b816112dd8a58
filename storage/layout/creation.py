"""What a new store and a new array are made with, and what a killed creation of a store may have left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from storage.files.root import Root
from storage.layout.arrays import GROUPS, creation_lock
from storage.layout.metadata import no_store, read_info

DEFAULT_SHARD_SIZE = 64
"""Clips; a kill costs one shard at the most."""
_SHARD_SIZES = ((1_000_000, 1_024), (50_000, 256))
"""From so many clips on, so many of them in a shard: a ledger of tens of thousands of records is slow to list."""
_LEFT_BY_CREATION = re.compile(r"clips|ledger|zarr\.json|create\.lock.*|.*\.partial")
"""Files and folders that a killed creation may have left, its lock included."""


def default_shard_size(clips: int) -> int:
    """Clips in a shard of a store of so many clips."""
    return next((size for least, size in _SHARD_SIZES if clips >= least), DEFAULT_SHARD_SIZE)


def left_by_creation(root: Root, name: str) -> bool:
    """Whether a killed creation may have left this in the store's folder. Of a group it leaves metadata only."""
    if name in GROUPS:
        return root.size(name) is None and all(
            re.fullmatch(r"zarr\.json(\..*\.partial)?", entry) for entry in root.names(name)
        )
    return _LEFT_BY_CREATION.fullmatch(name) is not None


@contextmanager
def steady_length(root: Root) -> Iterator[int]:
    """How many clips a store has now. It does not grow inside the block: for whoever makes an array of its rows.

    A process that opened the store before it grew would make the array too short.

    Raises:
        StoreError: If there is no store any more.
    """
    with creation_lock(root):
        info = read_info(root)
        if info is None:
            raise no_store(root)
        yield info.clips
