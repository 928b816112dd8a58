"""Sizes and modification times of many media files: a cheap sign that none of them was replaced."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from storage.media.stamps import file_stamp

_TOGETHER = 4_096
"""Files a task."""
_THREADS = 16
_SLOW_SECONDS = 1e-4
"""A file. A network disk takes a millisecond, so several are asked for at once; on a local disk threads cost time."""


@dataclass(frozen=True)
class FileStamps:
    """Stamps of files.

    Attributes:
        there: which of them exist, ``[files]``.
        sizes: in bytes, ``[files]``; 0 where there is no file.
        mtimes: modification times in nanoseconds, ``[files]``; 0 where there is no file.
    """

    there: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    mtimes: NDArray[np.int64]

    @classmethod
    def of(cls, paths: Sequence[str]) -> Self:
        """The stamps that some files have now."""
        parts = [paths[start : start + _TOGETHER] for start in range(0, len(paths), _TOGETHER)]
        started = time.monotonic()
        found = [_stamps(part) for part in parts[:1]]
        is_slow = time.monotonic() - started > _SLOW_SECONDS * _TOGETHER
        if is_slow and len(parts) > 1:
            with ThreadPoolExecutor(min(_THREADS, len(parts))) as threads:
                found += threads.map(_stamps, parts[1:])
        else:
            found += map(_stamps, parts[1:])
        stamps = np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)
        return cls(stamps[:, 1] != 0, stamps[:, 0], stamps[:, 1])

    def differ(self, *, sizes: NDArray[np.int64], mtimes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which files exist and have other stamps than these, ``[files]``."""
        differs: NDArray[np.bool_] = self.there & ((self.sizes != sizes) | (self.mtimes != mtimes))
        return differs


def _stamps(paths: Sequence[str]) -> NDArray[np.int64]:
    folders = {path.rpartition("/")[0] for path in paths}
    gone = {folder for folder in folders if not os.path.isdir(folder)}  # noqa: PTH112 - a name may be too long for Path
    found = [(path.rpartition("/")[0] not in gone and file_stamp(path)) or (0, 0) for path in paths]
    return np.array(found, dtype=np.int64).reshape(-1, 2)
