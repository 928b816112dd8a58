"""What a new store is made with, and what a killed creation of one may have left."""

from __future__ import annotations

import re

from storage.files.root import Root
from storage.layout.arrays import GROUPS

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
