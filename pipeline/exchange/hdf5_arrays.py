"""Reads arrays of HDF5 files whole or row by row; h5py is imported when a file is opened."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import InvalidInput
from storage.foreign_files import reading
from storage.text import visible

_MOST_ROWS = 128
"""Rows that are read at once, where the file has them in blocks."""

_BLOCKS = 2
_COMPLAINT = "not an HDF5 file that can be read"


@contextmanager
def opened(file: Path, key: str) -> Iterator[Any]:
    """An array of a file, as h5py has it.

    Raises:
        InvalidInput: If there is no such file, it is none of HDF5, or has no such array of numbers.
        ModuleNotFoundError: If h5py is not installed.
    """
    import h5py

    if not file.is_file():
        raise InvalidInput(f"{visible(file)}: no such file")
    with reading(file, _COMPLAINT, error=InvalidInput, remedy="It may be damaged: fetch it again"):
        handle = h5py.File(file, "r")
    with handle:
        found = handle.get(key)
        if not isinstance(found, h5py.Dataset):
            there = ", ".join(visible(name) for name in list(handle)[:5]) or "nothing"
            raise InvalidInput(f"{visible(file)}: has no array {key!r}, it holds {there}")
        if found.dtype.kind not in "fiub":
            raise InvalidInput(f"{visible(file)}: {key} holds {found.dtype}, expected numbers")
        yield found


def rows_in(file: Path, key: str) -> int:
    """The length of an array's first axis.

    Raises:
        InvalidInput: See :func:`opened`; or it has no axis.
    """
    with opened(file, key) as array:
        if not array.shape:
            raise InvalidInput(f"{visible(file)}: {key} is a single number, expected rows")
        return int(array.shape[0])


def read_whole(file: Path, key: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """All values of an array.

    Raises:
        InvalidInput: See :func:`opened`; or its shape is another, or it is damaged.
    """
    with opened(file, key) as array:
        check_shape(file, key, array.shape, shape)
        with reading(file, _COMPLAINT, error=InvalidInput, remedy="It may be damaged: fetch it again"):
            values: NDArray[Any] = array[...]
    return values


def check_shape(file: Path, key: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise InvalidInput if shapes differ."""
    if found != expected:
        raise InvalidInput(f"{visible(file)}: {key} has the shape {list(found)}, expected {list(expected)}")


class HDF5Rows:
    """Rows of an open array, for several threads. Blocks of a file are read once, and a few are held.

    Args:
        array: as :func:`opened` gives it.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self._rows = min(array.chunks[0], _MOST_ROWS) if array.chunks else 1
        self._held: dict[int, NDArray[Any]] = {}
        self._lock = threading.Lock()

    def __getitem__(self, row: int) -> NDArray[Any]:
        """One row."""
        first = row - row % self._rows
        with self._lock:
            if first not in self._held:
                if len(self._held) >= _BLOCKS:
                    del self._held[next(iter(self._held))]
                self._held[first] = np.asarray(self._array[first : first + self._rows])
            block = self._held[first]
        found: NDArray[Any] = block[row - first]
        return found
