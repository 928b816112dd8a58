"""Reads ``.npy``, ``.npz`` and JSON files that anybody may have written; whatever is wrong is one line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storage.errors import InvalidInput
from storage.foreign_files import reading

_NPY_MAGIC = b"\x93NUMPY"


def read_npz(path: str | Path, complaint: str) -> dict[str, NDArray[Any]]:
    """All arrays of an archive; pickled objects are refused.

    Args:
        path: the file.
        complaint: what it is not, e.g. ``not a predictions file (.npz)``.

    Raises:
        InvalidInput: If it cannot be read.
    """
    with reading(path, complaint, error=InvalidInput), Path(path).open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("expected an archive as numpy.savez writes it")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
        if strange := [name for name, array in found.items() if not isinstance(array, np.ndarray)]:
            raise ValueError(f"{strange[0]!r} in it is no array")
    return found


def read_npy(path: Path, complaint: str, *, mmap_mode: Literal["r"] | None = None) -> NDArray[Any]:
    """The array in a file; pickled objects are refused.

    Args:
        path: the file.
        complaint: what it is not.
        mmap_mode: ``r`` to map the numbers instead of reading them.

    Raises:
        InvalidInput: If it cannot be read.
    """
    with reading(path, complaint, error=InvalidInput):
        with path.open("rb") as file:
            if file.read(len(_NPY_MAGIC)) != _NPY_MAGIC:
                raise ValueError("expected a file as numpy.save writes it")
        found: NDArray[Any] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    return found


def read_json(path: Path, *, remedy: str = "") -> Any:
    """The content of a JSON file in UTF-8.

    Raises:
        InvalidInput: If it cannot be read; the message ends with the remedy.
    """
    with reading(path, "cannot be read", error=InvalidInput, remedy=remedy):
        return json.loads(path.read_text(encoding="utf-8-sig"))
