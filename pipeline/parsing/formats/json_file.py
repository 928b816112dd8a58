"""JSON: everything that is known of a parsed video, one event a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import NDArray

from pipeline.parsing.parsed_video import MODALITIES, Event, ModelFacts, ParsedVideo
from storage.text import visible_json

_TIME_DIGITS = 6
_SCORE_DIGITS = 4


def to_json(video: ParsedVideo, *, probabilities: bool = False) -> str:
    """A parsed video as strictly valid JSON; :func:`pipeline.parsing.formats.json_reading.read_json` reads it.

    Args:
        video: the parsed video.
        probabilities: add the grids: ``probabilities`` with every digit of a float32 and ``null`` in steps that were
            not looked at, and ``decided`` as 0 and 1.
    """
    parts = {
        "file": _plain(str(video.path)),
        "duration": _plain(_rounded(video.duration_seconds, _TIME_DIGITS)),
        "model": _plain(_model(video.model), indent=2),
        "versions": _plain(dict(sorted(video.libraries.items())), indent=2),
        "settings": _plain(_without_nan(video.settings), indent=2),
        "notes": _lines(_plain(note) for note in video.notes),
        "classes": _plain(list(video.classes)),
        "segment_seconds": _plain(video.segment_seconds),
        "events": _lines(_plain(_event(event)) for event in video.events),
    }
    if probabilities:
        parts["probabilities"] = _grids(video.probabilities)
        parts["decided"] = _grids(video.decided)
    body = ",\n".join(f"{json.dumps(key)}: {text}" for key, text in parts.items())
    return visible_json("{\n" + _indented(body) + "\n}\n")


def _model(model: ModelFacts) -> dict[str, Any]:
    return {
        "name": model.name,
        "kind": model.kind,
        "description": model.description,
        "weights": dict(model.weights),
        "random": list(model.random),
        "unknown": {modality: list(names) for modality, names in model.unknown.items()},
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "class": event.label,
        "modality": event.modality,
        "start": _rounded(event.start_seconds, _TIME_DIGITS),
        "end": _rounded(event.end_seconds, _TIME_DIGITS),
        "mean": _rounded(event.mean, _SCORE_DIGITS),
        "peak": _rounded(event.peak, _SCORE_DIGITS),
    }


def _grids(grids: Mapping[Any, NDArray[Any]]) -> str:
    """An object with an array a modality, each step on a line."""
    parts = [
        f"{json.dumps(modality)}: {_lines(_plain(_row(row)) for row in grids[modality])}"
        for modality in MODALITIES
        if modality in grids
    ]
    return "{\n" + _indented(",\n".join(parts)) + "\n}" if parts else "{}"


def _row(row: NDArray[Any]) -> list[float | int | None]:
    if row.dtype.kind == "b":
        return [int(value) for value in row]
    # The shortest decimal that gives the same float32 back; the float64 of the same value has twice the digits.
    return [float(str(value)) if math.isfinite(value) else None for value in row]


def _rounded(number: float, digits: int) -> float | None:
    return round(float(number), digits) if math.isfinite(number) else None


def _without_nan(value: Any) -> Any:
    """Plain data with ``None`` for NaN and infinities, which JSON cannot hold."""
    if isinstance(value, Mapping):
        return {str(key): _without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def _lines(items: Iterable[str]) -> str:
    """An array with an item a line."""
    rows = ",\n".join(items)
    return f"[\n{_indented(rows)}\n]" if rows else "[]"


def _indented(text: str) -> str:
    # Not `textwrap.indent`: it also cuts at line separators that are part of a name.
    return "  " + text.replace("\n", "\n  ")
