"""Features of one media file, without a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors import registry
from extractors.base import Extractor, Features
from extractors.batch_runner import BatchRunner
from extractors.engines.runtime import pick_device
from extractors.failure import Failure
from extractors.views import AudioView, FrameView
from pipeline.decode.clip import decode_here
from pipeline.decode.media import MediaProblem
from pipeline.decode.timeline import read_timeline
from pipeline.extraction.batching import Batcher
from pipeline.extraction.sources import request_of
from storage.clips import Clip
from storage.errors import InvalidInput
from storage.schema import FeatureSpec, Sampling


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """One clip's features of one backbone, as a row of a store holds them.

    Attributes:
        name: of the array.
        values: ``[steps, dim]`` float32, NaN where not valid.
        valid: ``[steps]`` bool.
        times: ``[steps]``, where each step begins, in seconds from the clip's start; NaN if steps are not in time.
        others: the other arrays of a backbone that gives several, by name.
    """

    name: str
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    times: NDArray[np.float64]
    others: Mapping[str, ClipFeatures] = field(default_factory=dict)


def extract_one(
    path: Path, backbone: str, *, weights: str, clip_seconds: int | None, sampling: Sampling, precision: str,
    device: str, engine: str,
) -> ClipFeatures:  # fmt: skip
    """See :func:`pipeline.api.features.features_of`."""
    seconds = clip_seconds or _whole_seconds(path)
    place = pick_device(device)
    # Decoded first: a file that cannot be read is told before a network is built.
    empty = registry.create(backbone, clip_seconds=seconds)
    clip = _decoded(path, empty, sampling)
    extractor = registry.load(
        backbone, weights=weights, device=place, precision=precision, engine=engine, clip_seconds=seconds
    )
    found = _run(extractor, clip, BatchRunner(extractor, device=place))
    if isinstance(found, Failure):
        raise InvalidInput(f"{path}: {backbone}: {found.reason}")
    first, *rest = (_with_times(spec, found[spec.name]) for spec in extractor.specs)
    return ClipFeatures(first.name, first.values, first.valid, first.times, {item.name: item for item in rest})


def _whole_seconds(path: Path) -> int:
    """A file's length, in whole seconds."""
    try:
        return max(1, round(read_timeline(str(path)).duration_seconds))
    except MediaProblem as problem:
        raise InvalidInput(f"{path}: {problem.status.label}: {problem.reason}") from problem
    except OSError as problem:
        raise InvalidInput(f"{path}: {problem.strerror or 'cannot be read'}") from problem


def _decoded(path: Path, extractor: Extractor, sampling: Sampling) -> Any:
    """The frames or samples that a backbone wants."""
    view = extractor.view
    request = request_of(
        Clip(path.stem, str(path.absolute())),
        clip_seconds=extractor.clip_seconds,
        sampling=sampling,
        frame_views=[view] if isinstance(view, FrameView) else [],
        audio_views=[view] if isinstance(view, AudioView) else [],
    )
    opened = decode_here(request)
    found = opened.frames.get(view) if isinstance(view, FrameView) else opened.waveforms.get(view)
    if found is None:
        raise InvalidInput(f"{path}: {opened.report.status.label}: {opened.report.reason or 'no such file'}")
    return found


def _run(extractor: Extractor, clip: Any, runner: BatchRunner) -> dict[str, Features] | Failure:
    """Run the units in the batches of an extraction: the bits are those that a store gets."""
    found: list[dict[str, Features] | Failure] = []
    batcher: Batcher[None] = Batcher(extractor, runner, deliver=lambda _, result: found.append(result))
    batcher.add(None, extractor.units(clip))
    batcher.flush()
    return found[0]


def _with_times(spec: FeatureSpec, features: Features) -> ClipFeatures:
    step = np.nan if spec.step_seconds is None else spec.step_seconds
    return ClipFeatures(spec.name, features.values, features.valid, np.arange(spec.steps) * step)
