"""Thresholds for each class: of a pseudo-label teacher by modality (shipped or TOML), or of anything (JSON)."""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.dataset_description import DatasetDescription, read_text
from pipeline.datasets.prompt_files import by_class
from pipeline.foreign_arrays import read_json
from pipeline.toml_tables import parse_toml
from storage.errors import InvalidInput

_MODALITIES = ("audio", "visual")


@dataclass(frozen=True, eq=False)
class Thresholds:
    """A class is present where its logit is above its threshold.

    Attributes:
        audio: ``[classes]`` float64.
        visual: ``[classes]`` float64.
    """

    audio: NDArray[np.float64]
    visual: NDArray[np.float64]

    def to_json(self) -> dict[str, list[float]]:
        """Plain data."""
        return {name: getattr(self, name).tolist() for name in _MODALITIES}


def load_thresholds(name_or_file: str | Path, dataset: DatasetDescription) -> Thresholds:
    """Read thresholds.

    Args:
        name_or_file: ``valor``, or a TOML file with ``audio`` and ``visual``, each a table with a number for each class
            or a list in the order of the dataset's classes.
        dataset: whose classes they are for.

    Raises:
        InvalidInput: If there are none of that name for this dataset, or the file is malformed, lacks a class, or has a
            list of the wrong length.
    """
    text = str(name_or_file)
    shipped = importlib.resources.files("pipeline.datasets") / "thresholds" / f"{dataset.name}_{text}.toml"
    if "/" not in text and shipped.is_file():
        return _from_toml(shipped.read_text(encoding="utf-8"), dataset, source=text)
    path = Path(name_or_file).expanduser()
    if not path.is_file():
        raise InvalidInput(f"--thresholds {text}: no such file, and none are shipped by that name for {dataset.name}")
    return _from_toml(read_text(path), dataset, source=text)


def read_class_thresholds(path: str | Path, classes: Sequence[str]) -> NDArray[np.float64]:
    """Read one threshold a class, for both modalities, from a JSON file: a list, or an object by class name.

    Returns:
        ``[classes]``.

    Raises:
        InvalidInput: If it is no such file, or has another class or number.
    """
    data = read_json(Path(path))
    if isinstance(data, dict):
        if set(data) != set(classes):
            wrong = sorted(set(data) ^ set(classes))[0]
            raise InvalidInput(f"--thresholds {path}: expected one number for each class; {wrong!r} does not match")
        data = [data[name] for name in classes]
    if not isinstance(data, list) or len(data) != len(classes):
        raise InvalidInput(f"--thresholds {path}: expected {len(classes)} numbers")
    for name, number in zip(classes, data, strict=True):
        if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
            raise InvalidInput(f"--thresholds {path}: {name}: expected a number, got {number!r}")
    return np.asarray(data, dtype=np.float64)


def thresholds_text(thresholds: Thresholds, dataset: DatasetDescription, *, comment: str = "") -> str:
    """The text of a thresholds file; :func:`load_thresholds` reads back the same numbers."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for name in _MODALITIES:
        lines += ["", f"[{name}]"]
        values = zip(dataset.classes, getattr(thresholds, name).tolist(), strict=True)
        lines += [f"{_quoted(label)} = {value!r}" for label, value in values]
    return "\n".join([*lines, ""])


def _from_toml(text: str, dataset: DatasetDescription, *, source: str) -> Thresholds:
    data = parse_toml(text, source=source)
    if set(data) != set(_MODALITIES):
        raise InvalidInput(
            f"{source}: expected thresholds for audio and visual, got {', '.join(sorted(data)) or 'none'}"
        )
    return Thresholds(*(_numbers(data[name], dataset, source=source, modality=name) for name in _MODALITIES))


def _numbers(value: Any, dataset: DatasetDescription, *, source: str, modality: str) -> NDArray[np.float64]:
    if isinstance(value, dict):
        value = by_class(value, dataset, source=source, what=f"{modality} thresholds")
    if not isinstance(value, list) or len(value) != len(dataset.classes):
        got = f"{len(value)}" if isinstance(value, list) else repr(value)
        raise InvalidInput(f"{source}: {modality}: expected {len(dataset.classes)} thresholds, one a class, got {got}")
    for name, number in zip(dataset.classes, value, strict=True):
        if not isinstance(number, (int, float)) or isinstance(number, bool) or not math.isfinite(number):
            raise InvalidInput(f"{source}: {modality}: the threshold of {name!r} is {number!r}, expected a number")
    return np.array(value, dtype=np.float64)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
