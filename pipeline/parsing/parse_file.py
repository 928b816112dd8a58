"""Parses one file: cut, extract, run the model, decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.decode.media import MediaProblem
from pipeline.decode.span import CUT_SLACK_SECONDS
from pipeline.decode.timeline import read_timeline
from pipeline.extraction.provenance import versions
from pipeline.parsing.decisions import EventRules, decide_segments, find_events
from pipeline.parsing.parsed_video import MODALITIES, Modality, ParsedVideo
from pipeline.parsing.segment_grid import SegmentGrid
from pipeline.parsing.tiles import Cut, cut
from pipeline.parsing.window_model import WindowModel
from pipeline.parsing.work_store import WindowReader, absent, extraction_of, fill_work_store, in_seconds, tile_table
from storage.errors import AvvpError, InvalidInput

if TYPE_CHECKING:
    from pipeline.extraction.reporting import Reporter
    from pipeline.parsing.work_store import Resident

_WINDOWS_AT_ONCE = 32
_LIBRARIES = ("avvp-pipeline", "torch", "openvino", "numpy", "av")
_WORDS: Mapping[Modality, str] = {"audio": "sound", "visual": "picture"}


class CannotParse(AvvpError):
    """A file that cannot be parsed, and why. Other files go on."""


@dataclass(frozen=True)
class HowToParse:
    """Everything but the file and the model.

    Attributes:
        weights: of the backbones, by name.
        hop: seconds between two windows; ``None`` for half a window.
        rules: what counts as an event.
        preview: whether the page's small pictures and envelope are kept.
        extraction: further fields of :class:`~pipeline.extraction.options.ExtractOptions`.
    """

    weights: Mapping[str, str]
    hop: int | None = None
    rules: EventRules = field(default_factory=EventRules)
    preview: bool = True
    extraction: Mapping[str, Any] = field(default_factory=dict)

    def hop_of(self, model: WindowModel) -> int:
        """In seconds: what was asked for, or the longest of at most half a window.

        Raises:
            InvalidInput: If it is longer than a window, or no whole number of the model's segments.
        """
        window, segments = model.window_seconds, model.segments
        fitting = [hop for hop in range(1, window + 1) if hop * segments % window == 0]
        if self.hop is None:
            return max((hop for hop in fitting if 2 * hop <= window), default=fitting[0])
        if self.hop not in fitting or not isinstance(self.hop, int):
            shown = ", ".join(map(str, fitting))
            raise InvalidInput(f"--hop {self.hop}: expected whole segments within a window, one of {shown} s")
        return self.hop


def length_of(path: Path) -> float:
    """Length of a file in seconds.

    Raises:
        CannotParse: If it is no media file that can be read.
    """
    try:
        return float(read_timeline(str(path)).duration_seconds)
    except MediaProblem as problem:
        raise CannotParse(f"{path}: {problem.status.label}: {problem.reason}") from problem
    except OSError as problem:
        raise CannotParse(f"{path}: {problem.strerror or 'cannot be read'}") from problem


def parse_file(
    path: Path,
    model: WindowModel,
    how: HowToParse,
    *,
    store_url: str,
    reporter: Reporter,
    resident: Resident,
) -> ParsedVideo:
    """Parse one file.

    Args:
        path: of a video or sound file.
        model: what parses it.
        how: everything else.
        store_url: of its features; what is there already is not made again.
        reporter: told of each tile.
        resident: networks and decode workers that are kept for the next file.

    Raises:
        CannotParse: If the file has neither sound nor picture that can be decoded, or changes meanwhile.
        AvvpError: If store or weights do not fit.
    """
    settings, duration = settings_of(path, model, how), length_of(path)
    one_window = duration <= model.window_seconds + CUT_SLACK_SECONDS
    published = model.sampling == "published" and one_window
    # The published scripts take a cut clip for one window, whatever is left over behind it.
    length = min(duration, float(model.window_seconds)) if published else duration
    tiled = in_seconds(model)
    plan = cut(length, window=model.window_seconds, hop=how.hop_of(model), tiled=tiled)
    options = extraction_of(model, how.extraction, published=published, preview=how.preview, weights=how.weights)
    store = fill_work_store(store_url, tile_table(path, plan), options, reporter=reporter, resident=resident)
    reader = WindowReader(store, plan, model.inputs, whole=not tiled)
    missing = absent(reader.presence)
    if len(missing) == len(reader.presence):
        raise CannotParse(f"{path}: {'; '.join(dict.fromkeys(filter(None, missing.values()))) or 'nothing in it'}")
    means = _run(reader, model, plan)
    notes = [f"no {_WORDS[modality]}: {reason}" for modality, reason in missing.items()]
    if model.sampling == "published" and not published:
        notes.append("frames on a uniform grid: the published scripts' choice is defined for single clips only")
    if settings_of(path, model, how) != settings:
        raise CannotParse(f"{path}: was changed while it was parsed. Run the same command when it is complete")
    return replace(_decided(path, length, model, how, reader, means, notes), settings=settings)


def _run(reader: WindowReader, model: WindowModel, plan: Cut) -> dict[str, NDArray[np.float32]]:
    """Mean probabilities of each segment."""
    per_second = model.segments / model.window_seconds
    grid = SegmentGrid(int(np.ceil(plan.seconds * per_second)))
    for first in range(0, len(plan.windows), _WINDOWS_AT_ONCE):
        some = slice(first, first + _WINDOWS_AT_ONCE)
        found = model.predict(reader.read(some))
        scores = {**found.video, "audio": found.segment["audio"], "visual": found.segment["visual"]}
        grid.add([round(start * per_second) for start in plan.windows[some]], scores)
    return grid.mean()


def _decided(
    path: Path, duration: float, model: WindowModel, how: HowToParse, reader: WindowReader,
    means: Mapping[str, NDArray[np.float32]], notes: list[str],
) -> ParsedVideo:  # fmt: skip
    """The result, without what a file lacks."""
    rules, seconds_a_segment = how.rules, model.window_seconds / model.segments
    levels = rules.levels(model.thresholds)
    decided = decide_segments(means, levels=levels, mask=model.mask)
    there = [modality for modality in MODALITIES if modality in reader.presence.keys() - absent(reader.presence)]
    probabilities = {}
    for modality in there:
        known = _by_segment(reader.presence[modality].valid, len(means[modality]), seconds_a_segment)
        probabilities[modality] = np.where(known[:, None], means[modality], np.nan).astype(np.float32)
        decided[modality] = decided[modality] & known[:, None]
        if lost := int((~reader.presence[modality].valid).sum()):
            reason = reader.presence[modality].reason
            notes.append(f"no {_WORDS[modality]} in {lost} of {len(reader.presence[modality].valid)} s"
                         + (f": {reason}" if reason else ""))  # fmt: skip
    decided = {modality: decided[modality] for modality in there}
    events = find_events(
        decided, probabilities, classes=model.classes, segment_seconds=seconds_a_segment, duration_seconds=duration,
        rules=rules,
    )  # fmt: skip
    return ParsedVideo(
        path, duration, model.facts, model.classes, seconds_a_segment, probabilities, decided, events,
        notes=tuple(notes), libraries=versions(_LIBRARIES),
    )  # fmt: skip


def settings_of(path: Path, model: WindowModel, how: HowToParse) -> dict[str, Any]:
    """What decisions depend on besides the weights, as plain data; the file's size and time among it.

    Raises:
        CannotParse: If there is no such file.
    """
    try:
        state = path.stat()
    except OSError as problem:
        raise CannotParse(f"{path}: missing: {problem.strerror or 'cannot be read'}") from problem
    levels = how.rules.levels(model.thresholds)
    return {
        "file": {"bytes": state.st_size, "modified_ns": state.st_mtime_ns},
        "window_seconds": model.window_seconds,
        "hop_seconds": how.hop_of(model),
        "sampling": model.sampling,
        "mask": model.mask,
        "thresholds": {name: [float(level) for level in levels[name]] for name in MODALITIES},
        "min_duration_seconds": how.rules.min_duration,
        "join_gap_seconds": how.rules.join_gap,
        "classes": list(how.rules.classes),
        "top": how.rules.top,
    }


def _by_segment(seconds: NDArray[np.bool_], segments: int, segment_seconds: float) -> NDArray[np.bool_]:
    """Which segments lie in seconds that are all there."""
    begins = np.floor(np.arange(segments) * segment_seconds + 1e-9).astype(int)
    ends = np.ceil((np.arange(segments) + 1) * segment_seconds - 1e-9).astype(int)
    return np.array([seconds[a : max(b, a + 1)].all() for a, b in zip(begins, ends, strict=True)])
