"""Reads a parsed video back from its JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass
from pydantic_core import ErrorDetails

from pipeline.datasets.dataset_description import read_text
from pipeline.parsing.parsed_video import Event, Modality, ModelFacts, ParsedVideo
from storage.errors import InvalidInput
from storage.foreign_files import reading
from storage.text import visible

_SHOWN_VALUE = 80

_Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
_Score = Annotated[float, Field(strict=True)] | None
_Grid = list[list[_Score]]


@checked_dataclass(frozen=True)
class _Event:
    modality: Modality
    start: _Seconds
    end: _Seconds
    mean: _Score
    peak: _Score
    label: str = Field(alias="class")


@checked_dataclass(frozen=True)
class _Model:
    name: str
    kind: Literal["run", "zero-shot"]
    description: str = ""
    weights: dict[str, str] = Field(default_factory=dict)
    unknown: dict[Modality, tuple[str, ...]] = Field(default_factory=dict)


@checked_dataclass(frozen=True)
class _File:
    file: str
    duration: _Seconds
    model: _Model
    classes: tuple[str, ...]
    segment_seconds: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
    events: tuple[_Event, ...]
    versions: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    probabilities: dict[Modality, _Grid] = Field(default_factory=dict)
    decided: dict[Modality, _Grid] = Field(default_factory=dict)


def read_json(path: str | Path) -> ParsedVideo:
    """Read what :func:`pipeline.parsing.formats.json_file.to_json` wrote. Other keys are passed over.

    Args:
        path: of the JSON file. Without probabilities in it, the video has no grids.

    Raises:
        InvalidInput: If it cannot be read, is not such JSON, or contradicts itself; the key is named.
    """
    place = Path(path).expanduser()
    text = read_text(place)
    with reading(place, "not JSON", error=InvalidInput):
        content = json.loads(text, parse_constant=_refuse_constant)
    try:
        file = TypeAdapter(_File).validate_python(content)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        raise InvalidInput(f"{visible(place)}: {_one_line(error)}. Write it anew: avvp parse") from None
    _check_events(place, file)
    model = file.model
    return ParsedVideo(
        path=Path(file.file),
        duration_seconds=file.duration,
        model=ModelFacts(model.name, model.kind, model.description, model.weights, model.unknown),
        classes=file.classes,
        segment_seconds=file.segment_seconds,
        probabilities=_grids(place, "probabilities", file, np.float32),
        decided=_grids(place, "decided", file, np.bool_),
        events=tuple(_event(event) for event in file.events),
        notes=file.notes,
        settings=file.settings,
        libraries=file.versions,
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number; null stands for it")


def _one_line(error: ErrorDetails) -> str:
    """Where in the file the first mistake is, what was expected, and what came."""
    *outer, last = error["loc"] or ("",)
    if error["type"] == "missing":
        return ": ".join(part for part in (_key(outer), f"the key {visible(last)!r} is missing") if part)
    expected = error["msg"].replace("Input should be", "expected", 1)
    if error["type"] == "dataclass_type":
        expected = "expected an object"
    got = visible(repr(error["input"]), limit=_SHOWN_VALUE)
    return ": ".join(part for part in (_key(error["loc"]), f"{expected}, got {got}") if part)


def _key(loc: tuple[int | str, ...] | list[int | str]) -> str:
    """``events[3].start``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{visible(part)}" for part in loc)
    return "".join(parts).removeprefix(".")


def _check_events(path: Path, file: _File) -> None:
    for number, event in enumerate(file.events):
        where = f"{visible(path)}: events[{number}]"
        if event.label not in file.classes:
            raise InvalidInput(f"{where}: class {visible(event.label)!r} is not in classes. Add it there, or rename it")
        if event.end <= event.start:
            raise InvalidInput(f"{where}: ends at {event.end:g} s, but starts at {event.start:g} s")


def _event(event: _Event) -> Event:
    mean, peak = (float("nan") if score is None else score for score in (event.mean, event.peak))
    return Event(event.label, event.modality, event.start, event.end, mean, peak)


def _grids(path: Path, key: str, file: _File, dtype: type[Any]) -> Mapping[Modality, NDArray[Any]]:
    grids: dict[Modality, NDArray[Any]] = {}
    for modality, rows in getattr(file, key).items():
        widths = {len(row) for row in rows} - {len(file.classes)}
        if widths:
            raise InvalidInput(
                f"{visible(path)}: {key}.{modality}: a step has {min(widths)} numbers, but there are "
                f"{len(file.classes)} classes"
            )
        grids[modality] = np.array(rows, dtype=dtype).reshape(len(rows), len(file.classes))
    return grids
