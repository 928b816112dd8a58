"""From probabilities of segments to decisions, and from decisions to events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.decisions import Mask, decide
from pipeline.parsing.parsed_video import MODALITIES, Event, Modality
from pipeline.toml_tables import did_you_mean
from storage.errors import InvalidInput

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Levels = Mapping[Modality, NDArray[np.float64]]

_ROUNDING_SECONDS = 1e-6


@dataclass(frozen=True)
class EventRules:
    """What counts as an event.

    Attributes:
        threshold: smallest probability that counts, for all classes instead of the model's own.
        thresholds: by modality ``[classes]``, instead of both.
        min_duration: shorter events are dropped, in seconds.
        join_gap: two events of a class and modality with at most this much between them are one, in seconds.
        classes: only these; empty for all.
        top: only so many classes a modality, those with the highest peaks.
    """

    threshold: float | None = None
    thresholds: Levels | None = field(default=None, compare=False)
    min_duration: float = 0.0
    join_gap: float = 0.0
    classes: tuple[str, ...] = ()
    top: int | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and self.thresholds is not None:
            raise InvalidInput("--threshold and --thresholds exclude each other")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InvalidInput(f"--threshold {self.threshold:g}: expected a probability from 0 to 1")
        for name, value in (("min-duration", self.min_duration), ("join-gap", self.join_gap)):
            if not 0 <= value < float("inf"):
                raise InvalidInput(f"--{name} {value:g}: expected seconds, 0 or more")
        if self.top is not None and self.top < 1:
            raise InvalidInput(f"--top {self.top}: expected 1 or more")

    def levels(self, own: Levels) -> Levels:
        """The thresholds in use, given the model's own."""
        if self.thresholds is not None:
            return self.thresholds
        if self.threshold is None:
            return own
        return {modality: np.full_like(levels, self.threshold) for modality, levels in own.items()}

    def check_classes(self, known: Sequence[str]) -> None:
        """Raises InvalidInput if a class that was asked for is unknown to the model."""
        for name in self.classes:
            if name not in known:
                near = did_you_mean(name, known)
                raise InvalidInput(f"--classes {name}: the model has no such class.{near} It knows {', '.join(known)}")


def decide_segments(means: Mapping[str, Floats], *, levels: Levels, mask: Mask) -> dict[Modality, Bools]:
    """Decisions of each segment, by the rule that :func:`pipeline.metrics.decisions.decide` scores runs with.

    Args:
        means: ``audio`` and ``visual``, ``[segments, classes]``, and the video probabilities that the mask needs, of
            the windows around each segment. Rows of NaN are not decided.
        levels: thresholds by modality.
        mask: see :func:`~pipeline.metrics.decisions.decide`. A segment counts as a video of one segment.

    Returns:
        By modality ``[segments, classes]``.
    """
    known = ~np.isnan(means["audio"]).any(axis=1)
    found: dict[Modality, Bools] = {}
    of_video = {name: values[known] for name, values in means.items() if name.endswith("_video")}
    segments = [means[modality][known][:, None, :] for modality in MODALITIES]
    for place, modality in enumerate(MODALITIES):
        decided = np.zeros(means[modality].shape, dtype=bool)
        decided[known] = decide(*segments, **of_video, mask=mask, threshold=levels[modality])[place][:, 0]
        found[modality] = decided
    return found


def find_events(
    decided: Mapping[Modality, Bools],
    probabilities: Mapping[Modality, Floats],
    *,
    classes: Sequence[str],
    segment_seconds: float,
    duration_seconds: float,
    rules: EventRules,
) -> tuple[Event, ...]:
    """Runs of decided segments as events, joined, filtered and sorted.

    An event that is joined over a gap has the mean of all its segments, the gap's too.

    Args:
        decided: by modality ``[segments, classes]``.
        probabilities: the same shape.
        classes: their names.
        segment_seconds: length of a segment.
        duration_seconds: of the file; no event ends later.
        rules: what counts.
    """
    events = []
    for modality, grid in decided.items():
        of_modality = []
        for at, label in enumerate(classes):
            if rules.classes and label not in rules.classes:
                continue
            for first, stop in _joined(grid[:, at], rules.join_gap / segment_seconds):
                values = probabilities[modality][first:stop, at]
                start, end = first * segment_seconds, min(stop * segment_seconds, duration_seconds)
                if end - start >= max(rules.min_duration - _ROUNDING_SECONDS, _ROUNDING_SECONDS):
                    mean, peak = float(np.nanmean(values)), float(np.nanmax(values))
                    of_modality.append(Event(label, modality, start, end, mean, peak))
        events += _of_top_classes(of_modality, rules.top)
    place = {label: at for at, label in enumerate(classes)}
    order = {modality: at for at, modality in enumerate(MODALITIES)}
    return tuple(sorted(events, key=lambda e: (e.start_seconds, place[e.label], order[e.modality])))


def _joined(decided: Bools, gap_segments: float) -> Iterator[tuple[int, int]]:
    """First segment and the one after the last, of each run; runs that are near each other are one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], decided, [False]]).astype(np.int8)))
    runs = edges.reshape(-1, 2).tolist()
    while runs:
        first, stop = runs.pop(0)
        while runs and runs[0][0] - stop <= gap_segments + _ROUNDING_SECONDS:
            stop = runs.pop(0)[1]
        yield first, stop


def _of_top_classes(events: Sequence[Event], top: int | None) -> list[Event]:
    if top is None:
        return list(events)
    peaks: dict[str, float] = {}
    for event in events:
        peaks[event.label] = max(event.peak, peaks.get(event.label, 0.0))
    kept = sorted(peaks, key=lambda label: -peaks[label])[:top]
    return [event for event in events if event.label in kept]
