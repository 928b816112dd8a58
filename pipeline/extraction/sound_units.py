"""Units of audio backbones, such as log-mels, made in the decode workers beside the sound.

One process feeds a device. Spectrograms for five backbones would take most of its time: 41 of 59 ms a clip. On a CPU
that is nothing beside the networks, and workers without torch start sooner and need 0.12 GB less each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from extractors import registry
from extractors.base import Extractor, Waveform
from extractors.failure import Failure
from extractors.views import AudioView
from pipeline.decode.clip_buffer import (
    DecodeReport,
    DecodeRequest,
    UnitsView,
    buffer_layout,
    open_buffer,
)
from storage.errors import InvalidInput
from storage.text import error_words


def feeds_gpu(device: str) -> bool:
    """Whether a run on this device has a GPU to feed, so that worker processes do all that can be done before it."""
    from extractors.engines.runtime import pick_device

    return pick_device(device) != "cpu"


def units_views(extractors: Iterable[Extractor]) -> tuple[UnitsView, ...]:
    """What the decode workers make for some backbones: the units of those that listen.

    Raises:
        InvalidInput: If a backbone cannot cut silence into units.
    """
    return tuple(_units_view(item, item.view) for item in extractors if isinstance(item.view, AudioView))


def _units_view(extractor: Extractor, view: AudioView) -> UnitsView:
    """Of one backbone: the shape of its units is seen by cutting silence."""
    name, count = extractor.name, view.sample_rate_hz * extractor.clip_seconds
    silence = Waveform(np.zeros(count, dtype=np.float32), view.sample_rate_hz, count)
    try:
        found = extractor.units(silence).data
    except Exception as problem:
        raise InvalidInput(
            f"backbone {name}: units() fails on silence: {error_words(problem)}. See: avvp backbones check {name}"
        ) from problem
    return UnitsView(name, view, found.shape, found.dtype.str)


def with_units(request: DecodeRequest, buffer: Any, report: DecodeReport) -> DecodeReport:
    """Make the units that a request asks for, in a decode worker, into the clip's buffer.

    Args:
        request: the clip.
        buffer: as :func:`~pipeline.decode.clip.decode_clip` filled.
        report: what it gave back.

    Returns:
        The report, with the backbones that gave none.
    """
    opened = open_buffer(request, buffer, report)
    problems = {}
    for view in request.units:
        sound = opened.waveforms.get(view.sound)
        if sound is None:
            continue
        try:
            _make(view, sound, request, buffer)
        except Exception as problem:  # noqa: BLE001 - a backbone is anybody's code; the ledger gets the reason
            problems[view.backbone] = Failure(error_words(problem), isinstance(problem, MemoryError))
    return replace(report, no_units=problems)


def _make(view: UnitsView, sound: Waveform, request: DecodeRequest, buffer: Any) -> None:
    made = _backbone(view.backbone, request.clip_seconds).units(sound)
    got, expected = (f"{np.dtype(kind)} {list(shape)}" for kind, shape in (
        (made.data.dtype, made.data.shape), (view.dtype, view.shape)))  # fmt: skip
    if got != expected:
        raise ValueError(f"units() gave {got}, {expected} of silence")
    layout = buffer_layout(request.shape)
    layout.array(buffer, view, "data")[:] = made.data
    layout.array(buffer, view, "valid")[:] = made.valid


@lru_cache(maxsize=32)
def _backbone(name: str, clip_seconds: int) -> Extractor:
    """A backbone without its network."""
    return registry.create(name, clip_seconds=clip_seconds)
