"""Parsed videos: one like a real clip, one with every name and time that a format could stumble over."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.parsing.parsed_video import MODALITIES, Event, ModelFacts, ParsedVideo

CLASSES = ("Speech", "Dog", "Frying_(food)")
ODD_CLASSES = (
    "a --> b",
    '<b>&amp;"x"</b>',
    "tab\there",
    "two\nlines\n\n3\n00:00:01,000 --> 00:00:02,000",
    "Grüße 🐶\u2028x",
    "bell\x07\ufffe\udcff",
)


@pytest.fixture
def make_video():
    """Make a parsed video from events; with a grid of probabilities in which the last picture was not looked at."""

    def make(events=(), *, path="clips/holiday.mp4", classes=CLASSES, duration=11.28, grids=True, **facts):
        rng = np.random.default_rng(1)
        steps = 12 if grids else 0
        scores = {name: rng.random((steps, len(classes)), dtype=np.float32) for name in MODALITIES if grids}
        if grids:
            scores["visual"][-1] = np.nan
        return ParsedVideo(
            path=Path(path),
            duration_seconds=duration,
            model=facts.pop("model", ModelFacts("runs/leap", "run", "LEAP on MM-Pyr", {"clip": "sha256:abc"})),
            classes=tuple(classes),
            segment_seconds=1.0,
            probabilities=scores,
            decided={name: grid > 0.5 for name, grid in scores.items()},
            events=tuple(events),
            **facts,
        )

    return make


@pytest.fixture
def video(make_video):
    """Events that overlap, and two that end with the file at 11.28 s."""
    return make_video(
        [
            Event("Dog", "audio", 0, 2, 0.87, 0.95),
            Event("Dog", "visual", 0, 11.28, 0.7, 0.9),
            Event("Speech", "audio", 1, 3, 0.7, 0.75),
            Event("Dog", "audio", 7, 11.28, 0.81234567, 0.9),
        ],
        notes=("The last second has no picture.",),
        settings={"threshold": 0.5, "classes": ("Dog",), "top": None},
        libraries={"numpy": "2.4", "av": "15"},
    )


@pytest.fixture
def odd_video(make_video):
    """Odd names in both modalities, a file of over 100 hours, an event shorter than a millisecond."""
    events = [
        Event(name, "audio" if at % 2 else "visual", at, at + 2.5, 0.5, 0.6) for at, name in enumerate(ODD_CLASSES)
    ]
    return make_video(
        [*events, Event(ODD_CLASSES[1], "audio", 400_000, 400_000.0001, 0.5, float("nan"))],
        path="/tmp/vi deos/Größe #1 100% & <q>.mp4",
        classes=ODD_CLASSES,
        duration=400_001.0,
        grids=False,
        model=ModelFacts(
            "m --> n\nx", "zero-shot", weights={"yamnet": "random:3"}, unknown={"visual": ODD_CLASSES[:1]}
        ),
        notes=("a --> b\n\nc",),
        settings={"limit": float("inf"), "each": [float("nan"), 1]},
    )
