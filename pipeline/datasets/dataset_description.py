"""What a dataset is: its classes, its time grid and its label files, read from a small TOML file."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from storage.errors import InvalidInput

_SHIPPED = "descriptions"
_KEYS = {
    "name", "clip_seconds", "segments", "classes", "background", "weak_files", "dense_files", "revisions",
    "event_files",
}  # fmt: skip


@dataclass(frozen=True)
class DatasetDescription:
    """Classes, time grid and label files of a dataset.

    Attributes:
        name: for people and for file names, e.g. ``llp``.
        classes: in the order of every label array.
        segments: of each clip; they divide the clip evenly.
        clip_seconds: length of every clip.
        weak_files: split -> file of weak labels, in row order.
        audio_file: dense audio labels; empty where there are none.
        visual_file: dense visual labels; empty where there are none.
        dense_splits: the splits that the dense files label.
        revisions: name of an older release -> row names of the dense files that only it has.
        background: the class of a segment without an event, the last one; empty where segments may have no class.
        event_files: split -> file of events, for localization; see :mod:`pipeline.datasets.ave`.
        source: where the description came from, for messages.
    """

    name: str
    classes: tuple[str, ...]
    segments: int
    clip_seconds: float
    weak_files: Mapping[str, str] = field(default_factory=dict)
    audio_file: str = ""
    visual_file: str = ""
    dense_splits: tuple[str, ...] = ()
    revisions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    background: str = ""
    event_files: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    @property
    def segment_seconds(self) -> float:
        """Length of a segment."""
        return self.clip_seconds / self.segments

    def class_index(self, name: str) -> int:
        """Place of a class in every label array.

        Raises:
            InvalidInput: If the dataset has no such class.
        """
        try:
            return self.classes.index(name)
        except ValueError:
            raise InvalidInput(f"class {name!r} is none of the {len(self.classes)} classes of {self.name}") from None


def shipped_descriptions() -> tuple[str, ...]:
    """Names of the datasets that come with the package."""
    folder = importlib.resources.files("pipeline.datasets") / _SHIPPED
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_description(name_or_file: str | Path = "llp") -> DatasetDescription:
    """Read a dataset description.

    Args:
        name_or_file: one of :func:`shipped_descriptions`, or the path of a TOML file of your own.

    Raises:
        InvalidInput: If there is none of that name, or the file is malformed; the message names the key.
    """
    text = str(name_or_file)
    if text in shipped_descriptions():
        body = (importlib.resources.files("pipeline.datasets") / _SHIPPED / f"{text}.toml").read_text(encoding="utf-8")
        return _from_toml(body, source=text)
    path = Path(name_or_file).expanduser()
    if not path.is_file():
        shipped = ", ".join(shipped_descriptions())
        raise InvalidInput(f"{text}: no such dataset description. Give a TOML file, or one of: {shipped}")
    return _from_toml(read_text(path), source=text)


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark.

    Raises:
        InvalidInput: If it cannot be read, or is no such text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InvalidInput(f"{path}: not a text file in UTF-8 (byte {problem.start})") from None
    except OSError as problem:
        raise InvalidInput(f"{path}: cannot be read: {problem.strerror or problem}") from None


def parse_toml(text: str, *, source: str) -> dict[str, Any]:
    """TOML as plain data.

    Raises:
        InvalidInput: If it is not TOML; the message gives the line.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise InvalidInput(f"{source}: not TOML: {problem}") from None


def _from_toml(text: str, *, source: str) -> DatasetDescription:
    data = parse_toml(text, source=source)
    if unknown := sorted(set(data) - _KEYS):
        raise InvalidInput(f"{source}: unknown key {unknown[0]!r}; expected {', '.join(sorted(_KEYS))}")
    dense = _table(data, "dense_files", source)
    weak = {split: str(file) for split, file in _table(data, "weak_files", source).items()}
    splits = _texts(dense.get("splits", []), "dense_files.splits", source)
    if strange := [split for split in splits if split not in weak]:
        raise InvalidInput(f"{source}: dense_files.splits names {strange[0]!r}, which weak_files lacks")
    classes, background = _classes(data, source), str(data.get("background", ""))
    if background and background != classes[-1]:
        raise InvalidInput(f"{source}: background must be the last of classes, {classes[-1]!r}; got {background!r}")
    return DatasetDescription(
        name=str(data.get("name", "")) or Path(source).stem,
        classes=classes,
        segments=_positive(data, "segments", int, source),
        clip_seconds=_positive(data, "clip_seconds", (int, float), source),
        weak_files=weak,
        audio_file=str(dense.get("audio", "")),
        visual_file=str(dense.get("visual", "")),
        dense_splits=splits,
        revisions={name: _texts(rows, "revisions", source) for name, rows in _table(data, "revisions", source).items()},
        background=background,
        event_files={split: str(file) for split, file in _table(data, "event_files", source).items()},
        source=source,
    )


def _classes(data: Mapping[str, Any], source: str) -> tuple[str, ...]:
    classes = _texts(data.get("classes"), "classes", source)
    repeated = [name for name, count in Counter(classes).items() if count > 1]
    if not classes or repeated:
        problem = f"{repeated[0]!r} is there twice" if repeated else "it is empty"
        raise InvalidInput(f"{source}: classes must be a list of different names; {problem}")
    return classes


def _texts(value: Any, key: str, source: str) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise InvalidInput(f"{source}: {key} must be a list of texts, got {value!r}")
    return tuple(value)


def _table(data: Mapping[str, Any], key: str, source: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{source}: {key} must be a table, got {value!r}")
    return value


def _positive(data: Mapping[str, Any], key: str, kind: Any, source: str) -> Any:
    value = data.get(key)
    if not isinstance(value, kind) or isinstance(value, bool) or value <= 0:
        raise InvalidInput(f"{source}: {key} must be a positive number, got {value!r}")
    return value
