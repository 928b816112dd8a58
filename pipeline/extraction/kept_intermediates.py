"""Kept intermediates: frames, waveforms, log-mels and previews, on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.base import Extractor, Units, Waveform
from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import DecodedClip, DecodeReport, KeptFrames
from pipeline.decode.frames import CanvasView
from pipeline.extraction.jobs import ShardJob, row_of
from pipeline.extraction.preview import SOUND, THUMBNAILS, envelope_of, preview_specs
from storage.errors import InvalidInput
from storage.layout.decoded import DecodedSpec

KEEPABLE = ("frames", "waveform", "logmel", "preview")
DEFAULT_FRAMES_PER_SECOND = 8
DEFAULT_SAMPLE_RATE_HZ = 16_000
LOGMEL_BACKBONE = "vggish"
LOGMEL_LEDGER = "decoded.logmel"


def kept_specs(
    keep: Sequence[str], extractors: Sequence[Extractor], *, clip_seconds: int, sampling: str
) -> tuple[DecodedSpec, ...]:
    """What ``--keep`` asks for, as array specs.

    Frames are kept at the highest rate that a backbone of the run asks for, waveforms at every rate.

    Raises:
        InvalidInput: If a name is unknown, or log-mels are asked for without the backbone that makes them.
    """
    if unknown := [name for name in keep if name not in KEEPABLE]:
        raise InvalidInput(f"--keep {unknown[0]!r}: expected some of {', '.join(KEEPABLE)}")
    specs: list[DecodedSpec] = []
    if "frames" in keep:
        specs.append(_frames_spec(canvas_view(extractors), clip_seconds=clip_seconds, sampling=sampling))
    if "waveform" in keep:
        rates = sorted({view.sample_rate_hz for view in audio_views(extractors)}) or [DEFAULT_SAMPLE_RATE_HZ]
        for rate in rates:
            facts = {"sampling": sampling, "sample_rate_hz": rate}
            samples = {"samples": ((), "int32")}
            specs.append(DecodedSpec(f"waveform_{rate}", (rate * clip_seconds,), "float32", samples, facts))
    if "logmel" in keep:
        if not any(makes_logmel(extractor) for extractor in extractors):
            raise InvalidInput(f"--keep logmel: {LOGMEL_BACKBONE} makes them; add --backbone {LOGMEL_BACKBONE}")
        valid = {"valid": ((clip_seconds,), "bool")}
        specs.append(DecodedSpec("logmel", (clip_seconds, 96, 64), "float32", valid, {"sampling": sampling}))
    if "preview" in keep:
        specs += preview_specs(clip_seconds=clip_seconds, sampling=sampling)
    return tuple(specs)


def _frames_spec(view: CanvasView, *, clip_seconds: int, sampling: str) -> DecodedSpec:
    frames = view.frames(clip_seconds)
    return DecodedSpec(
        "frames",
        (frames, view.size, view.size, 3),
        "uint8",
        {"size": ((frames, 2), "int32"), "valid": ((frames,), "bool")},
        {"sampling": sampling, "frames_per_second": view.frames_per_second, "short_side": view.short_side},
    )


def canvas_view(extractors: Sequence[Extractor]) -> CanvasView:
    """The view in which frames are kept."""
    rates = [extractor.view.frames_per_second for extractor in extractors if isinstance(extractor.view, FrameView)]
    return CanvasView(max(rates, default=DEFAULT_FRAMES_PER_SECOND))


def audio_views(extractors: Sequence[Extractor]) -> list[AudioView]:
    """The distinct audio views of some backbones."""
    return list(dict.fromkeys(item.view for item in extractors if isinstance(item.view, AudioView)))


def makes_logmel(extractor: Extractor) -> bool:
    """Whether a backbone's units are the log-mels that ``--keep logmel`` keeps."""
    return extractor.name == LOGMEL_BACKBONE


def kept_canvases(specs: Sequence[DecodedSpec]) -> tuple[CanvasView, ...]:
    """The views in which pictures are kept."""
    return tuple(view for spec in specs if (view := _canvas_of(spec)) is not None)


def kept_audio_views(specs: Sequence[DecodedSpec]) -> list[AudioView]:
    """The rates of the sound that something is kept of."""
    return [view for spec in specs if (view := _sound_of(spec)) is not None]


def _canvas_of(spec: DecodedSpec) -> CanvasView | None:
    """The view of a kept array of pictures; ``None`` of others."""
    if spec.name == "frames":
        return CanvasView(int(spec.facts["frames_per_second"]))
    return THUMBNAILS if spec.name == "thumbnails" else None


def _sound_of(spec: DecodedSpec) -> AudioView | None:
    """The view of a kept array of sound; ``None`` of others."""
    if spec.name.startswith("waveform_"):
        return AudioView(int(spec.facts["sample_rate_hz"]))
    return SOUND if spec.name == "envelope" else None


def _pictures(kept: KeptFrames | None) -> tuple[NDArray[Any] | None, dict[str, Any]]:
    """A row of kept pictures and its companions."""
    if kept is None:
        return None, {}
    return kept.pixels, {"size": np.stack([kept.heights, kept.widths], axis=1), "valid": kept.valid}


def _samples(spec: DecodedSpec, sound: Waveform | None) -> tuple[NDArray[Any] | None, dict[str, Any]]:
    """A row of kept sound and its companions."""
    if sound is None:
        return None, {}
    if spec.name == "envelope":
        steps, heard = envelope_of(sound)
        return steps, {"steps": heard}
    return sound.samples, {"samples": sound.valid_samples}


class Keeper:
    """Writes kept intermediates of decoded clips.

    Args:
        specs: what is kept, by ledger name.
    """

    def __init__(self, specs: Mapping[str, DecodedSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs.values()}

    def keep(self, job: ShardJob, row: int, decoded: DecodedClip) -> None:
        """Write a clip's pictures and sound, or note that it has none."""
        report = decoded.report
        entry = row_of(job.clip_id(row), report)
        usable = report.status.has_features
        for spec in self._specs.values():
            canvas, sound = _canvas_of(spec), _sound_of(spec)
            if canvas is not None:
                data, companions = _pictures(decoded.kept.get(canvas) if usable else None)
            elif sound is not None:
                data, companions = _samples(spec, decoded.waveforms.get(sound) if usable else None)
            else:
                continue
            job.keep(spec.ledger_name, row, data, companions, entry)

    def wants_units(self, job: ShardJob, row: int, extractor: Extractor) -> bool:
        """Whether this backbone's units are to be kept."""
        spec = self._specs.get("logmel")
        return spec is not None and makes_logmel(extractor) and job.wants(spec.ledger_name, row)

    def keep_units(self, job: ShardJob, row: int, units: Units | None, report: DecodeReport) -> None:
        """Write a clip's log-mels, or note that it has none."""
        spec = self._specs["logmel"]
        data = None if units is None else np.ascontiguousarray(units.data.reshape(spec.shape))
        valid = {} if units is None else {"valid": units.valid}
        job.keep(spec.ledger_name, row, data, valid, row_of(job.clip_id(row), report))
