"""The data of a page as JSON that is safe inside an HTML script element."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pipeline.datasets.clip_preview import Preview
from pipeline.datasets.spans import true_runs
from pipeline.parsing.page.encoding import encode_probabilities, encode_strip, encode_wave
from pipeline.parsing.parsed_video import MODALITIES, Event, ParsedVideo
from pipeline.parsing.truth import Truth
from storage.text import visible

_UNSAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def page_json(video: ParsedVideo, *, preview: Preview | None, truth: Truth | None) -> str:
    """What the page's script draws from, in ASCII without any character that HTML or JavaScript could read as code."""
    data = {
        "seconds": length_of(video),
        "step": video.segment_seconds,
        "segments": video.segments,
        "classes": [visible(label) for label in video.classes],
        "probabilities": {name: encode_probabilities(grid) for name, grid in video.probabilities.items()},
        "thresholds": _thresholds(video),
        "events": [_event(event, video.classes) for event in video.events],
        "unknown": {name: _places(video.model.unknown.get(name, ()), video.classes) for name in MODALITIES},
        "truth": _truth(truth) if truth is not None and truth.grids else None,
        **(_preview(preview) if preview is not None else {"thumbnails": [], "aspect": 1, "wave": None}),
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False).translate(_UNSAFE)


def length_of(video: ParsedVideo) -> float:
    """Length of the time line: the file's, and the grid's where no more is known."""
    ends = [event.end_seconds for event in video.events]
    return max(video.duration_seconds, video.segment_seconds, *ends)


def _event(event: Event, classes: tuple[str, ...]) -> list[float | str]:
    times = round(event.start_seconds, 3), round(event.end_seconds, 3)
    return [classes.index(event.label), event.modality, *times, round(event.mean, 4), round(event.peak, 4)]


def _thresholds(video: ParsedVideo) -> dict[str, list[float | None]]:
    """By modality, one a class; ``None`` where there is none."""
    given: Any = video.settings.get("thresholds", {})
    if not isinstance(given, Mapping):
        raise ValueError(f"settings: thresholds are {type(given).__name__}, expected lists by modality")
    found: dict[str, list[float | None]] = {}
    for name, levels in given.items():
        if len(levels) != len(video.classes):
            raise ValueError(f"settings: {len(levels)} thresholds of {name} for {len(video.classes)} classes")
        found[str(name)] = [float(level) if math.isfinite(level) else None for level in levels]
    return found


def _places(labels: tuple[str, ...], classes: tuple[str, ...]) -> list[int]:
    return [at for at, label in enumerate(classes) if label in labels]


def _truth(truth: Truth) -> dict[str, Any]:
    """Runs of segments: those that were annotated, and those of each class that has some."""
    runs: dict[str, Any] = {"known": true_runs(truth.known)}
    for name, grid in truth.grids.items():
        by_class = {str(at): true_runs(column) for at, column in enumerate(grid.T)}
        runs[name] = {at: found for at, found in by_class.items() if found}
    return runs


def _preview(preview: Preview) -> dict[str, Any]:
    strip, wave = encode_strip(preview), encode_wave(preview)
    sound = {"levels": wave.levels, "step": wave.step_seconds, "peak": round(wave.peak, 4)} if wave.peak else None
    return {"thumbnails": strip.pictures, "aspect": strip.aspect, "wave": sound}
