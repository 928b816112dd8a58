"""Reads published pseudo labels by clip name: VALOR's folders, ``.npz`` archives, and pickled dictionaries (LSLD)."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.foreign_arrays import read_npy
from pipeline.labels.pickled_arrays import PickledArray, read_pickle
from storage.errors import InvalidInput
from storage.foreign_files import reading

MODALITIES = ("audio", "visual")
FOLDERS = {"audio": "CLAP/segment_pseudo_labels", "visual": "CLIP/segment_pseudo_labels"}
"""Where VALOR keeps them: what CLAP hears, what CLIP sees."""

_KEYS = {"audio": ("audio", "label_a"), "visual": ("visual", "label_v")}
"""Names in an archive; the second are LSLD's."""

_MOST_BYTES = 2**30
_EXPECTED = (
    "Expected arrays id, audio and visual, or LSLD's label_a and label_v with a dictionary of clips each"
)  # fmt: skip


@dataclass(frozen=True)
class LabelFiles:
    """Pseudo labels that are read clip by clip.

    Attributes:
        where: file or folder of each modality, for messages.
        names: of each modality's clips.
        read: values of a modality and a name.
        separate: whether each clip has a file of its own.
    """

    where: Mapping[str, str]
    names: Mapping[str, tuple[str, ...]]
    read: Callable[[str, str], NDArray[Any]]
    separate: bool = False

    def place(self, modality: str, name: str) -> str:
        """Where a clip's values come from, for messages."""
        return f"{self.where[modality]}/{name}.npy" if self.separate else f"{self.where[modality]}: {name}"


def open_labels(place: Path) -> LabelFiles:
    """Pseudo labels of a folder or a file.

    Raises:
        InvalidInput: If there is no such file or folder, or it holds something else.
    """
    if place.is_file():
        return _of_file(place)
    files: dict[str, dict[str, Path]] = {}
    for modality, inner in FOLDERS.items():
        if not (place / inner).is_dir():
            raise InvalidInput(
                f"{place / inner}: no such folder. Expected VALOR's {' and '.join(FOLDERS.values())}, or a .npz file"
            )
        files[modality] = {path.stem: path for path in sorted((place / inner).glob("*.npy"))}
    return LabelFiles(
        {modality: str(place / inner) for modality, inner in FOLDERS.items()},
        {modality: tuple(found) for modality, found in files.items()},
        lambda modality, name: read_npy(files[modality][name], "not a .npy file"),
        separate=True,
    )


def _of_file(path: Path) -> LabelFiles:
    with reading(path, "not a file of pseudo labels", error=InvalidInput):
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"is larger than {_MOST_BYTES // 2**20} MiB")
        found = _archive(path) if zipfile.is_zipfile(path) else _dictionary(read_pickle(path.read_bytes()))
        by_name = {modality: _by_name(found, modality) for modality in MODALITIES}
    names = {modality: tuple(values) for modality, values in by_name.items()}
    return LabelFiles(dict.fromkeys(MODALITIES, str(path)), names, lambda modality, name: by_name[modality][name])


def _archive(path: Path) -> dict[str, Any]:
    """Arrays and pickled dictionaries of what ``numpy.savez`` writes."""
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
            raise ValueError(f"holds more than {_MOST_BYTES // 2**20} MiB")
        return {name.removesuffix(".npy"): _member(archive.read(name)) for name in archive.namelist()}


def _member(data: bytes) -> Any:
    stream = BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    *_, dtype = read(stream)
    if dtype.hasobject:
        return _dictionary(read_pickle(stream.read()))
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _dictionary(value: Any) -> dict[str, Any]:
    """A dictionary, alone or as the only object of an array."""
    if isinstance(value, PickledArray) and len(value.objects) == 1:
        value = value.objects[0]
    if not isinstance(value, dict):
        raise ValueError(f"holds no dictionary. {_EXPECTED}")
    return value


def _by_name(found: Mapping[str, Any], modality: str) -> dict[str, NDArray[Any]]:
    """The values of each clip of one modality."""
    key = next((key for key in _KEYS[modality] if key in found), None)
    if key is None:
        raise ValueError(f"lacks {' and '.join(_KEYS[modality])}; it has {_some(found)}. {_EXPECTED}")
    values = found[key]
    if isinstance(values, dict):
        return {name: _numbers(one, name) for name, one in values.items()}
    names, values = (one if isinstance(one, np.ndarray) else None for one in (found.get("id"), values))
    if names is None or values is None or names.ndim != 1 or names.dtype.kind not in "US" or len(names) != len(values):
        raise ValueError(f"has no text of the array id for each clip of {key}. {_EXPECTED}")
    if len(set(names.tolist())) != len(names):
        raise ValueError("has an id more than once")
    return dict(zip(map(str, names.astype(str)), values, strict=True))


def _numbers(value: Any, name: str) -> NDArray[Any]:
    if not isinstance(value, PickledArray) or value.values is None:
        raise ValueError(f"holds no array of numbers for {name!r}")
    return value.values


def _some(names: Iterable[str]) -> str:
    shown = sorted(map(str, names))
    return ", ".join(shown[:4]) + (" …" if len(shown) > 4 else "") or "nothing"
