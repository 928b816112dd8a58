from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.clip_preview import Preview
from pipeline.datasets.spans import true_runs
from pipeline.parsing.parsed_video import Event, ModelFacts, ParsedVideo

CLASSES = ("Speech", "Dog", "Cat", "Car")


@pytest.fixture
def make_video():
    """A parsed video of 10 s: Dog is heard in seconds 2 to 4 and seen in 3 to 7, Speech is heard in 5."""

    def make(*, path="clip.mp4", classes=CLASSES, model=None, notes=(), seconds=10, modalities=("audio", "visual")):
        grids = {name: np.full((seconds, len(classes)), 0.1, np.float32) for name in modalities}
        for name, place, first, stop, level in (
            ("audio", 1, 2, 5, 0.8765), ("visual", 1, 3, 8, 0.9), ("audio", 0, 5, 6, 0.75),
        ):  # fmt: skip
            if name in grids:
                grids[name][first:stop, place] = level
        decided = {name: grid >= 0.5 for name, grid in grids.items()}
        events = []
        for name, grid in decided.items():
            for place, label in enumerate(classes):
                for first, stop in true_runs(grid[:, place]):
                    level = float(grids[name][first, place])
                    events.append(Event(label, name, float(first), float(stop), level, level))
        events.sort(key=lambda event: event.start_seconds)
        facts = model or ModelFacts("runs/leap", "run", "a run", {"leap": "sha256:" + "ab" * 32})
        thresholds = {name: [0.5] * len(classes) for name in ("audio", "visual")}
        return ParsedVideo(
            Path(path), float(seconds), facts, tuple(classes), 1.0, grids, decided, tuple(events), tuple(notes),
            {"thresholds": thresholds, "mask": "union"}, {"numpy": np.__version__},
        )  # fmt: skip

    return make


@pytest.fixture
def preview():
    """Ten pictures, each a shade of its own, and a sound that is silent in its second half."""
    pictures = tuple((float(second), np.full((90, 160, 3), 20 * second, np.uint8)) for second in range(10))
    loud = np.array([-0.5, 0.25], np.float32) * np.linspace(1, 0, 200, dtype=np.float32)[:, None]
    loud[100:] = np.nan
    return Preview(pictures, loud, 0.05)
