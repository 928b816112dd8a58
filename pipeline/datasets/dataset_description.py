"""Dataset descriptions: classes, time grid and label files, read from a small TOML file."""

from __future__ import annotations

import importlib.resources
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from pipeline.toml_tables import FORBID_EXTRA, Count, parse_toml, read_table
from storage.errors import InvalidInput

_SHIPPED = "descriptions"

Texts = Annotated[tuple[str, ...], Field(description="a list of texts")]
Seconds = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False, description="a positive number of seconds")]


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


@checked_dataclass(frozen=True, config=FORBID_EXTRA)
class _DenseFiles:
    """The table ``[dense_files]``."""

    audio: str = ""
    visual: str = ""
    splits: Texts = ()


@checked_dataclass(frozen=True, config=FORBID_EXTRA)
class _DescriptionFile:
    """The whole TOML file."""

    classes: Texts
    segments: Count
    clip_seconds: Seconds
    name: str = ""
    background: str = ""
    weak_files: Mapping[str, str] = field(default_factory=dict)
    dense_files: _DenseFiles = field(default_factory=_DenseFiles)
    revisions: Mapping[str, Texts] = field(default_factory=dict)
    event_files: Mapping[str, str] = field(default_factory=dict)

    @model_validator(mode="after")
    def _values_fit_each_other(self) -> Self:
        repeated = [name for name, count in Counter(self.classes).items() if count > 1]
        if not self.classes or repeated:
            problem = f"{repeated[0]!r} is there twice" if repeated else "it is empty"
            raise ValueError(f"classes must be a list of different names; {problem}")
        if strange := [split for split in self.dense_files.splits if split not in self.weak_files]:
            raise ValueError(f"dense_files.splits names {strange[0]!r}, which weak_files lacks")
        if self.background and self.background != self.classes[-1]:
            last = self.classes[-1]
            raise ValueError(f"background must be the last of classes, {last!r}; got {self.background!r}")
        return self


def _from_toml(text: str, *, source: str) -> DatasetDescription:
    file = read_table(_DescriptionFile, parse_toml(text, source=source), where=source)
    return DatasetDescription(
        name=file.name or Path(source).stem,
        classes=file.classes,
        segments=file.segments,
        clip_seconds=file.clip_seconds,
        weak_files=file.weak_files,
        audio_file=file.dense_files.audio,
        visual_file=file.dense_files.visual,
        dense_splits=file.dense_files.splits,
        revisions=file.revisions,
        background=file.background,
        event_files=file.event_files,
        source=source,
    )
