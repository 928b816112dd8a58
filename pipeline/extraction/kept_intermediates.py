"""Kept intermediates: frames, waveforms and log-mels, on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from extractors.base import Extractor, Units
from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import DecodedClip, DecodeReport
from pipeline.decode.frames import CanvasView
from pipeline.extraction.jobs import ShardJob, row_of
from storage.errors import InvalidInput
from storage.layout.decoded import DecodedSpec

KEEPABLE = ("frames", "waveform", "logmel")
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
        view = canvas_view(extractors)
        frames = view.frames(clip_seconds)
        specs.append(
            DecodedSpec(
                "frames",
                (frames, view.size, view.size, 3),
                "uint8",
                {"size": ((frames, 2), "int32"), "valid": ((frames,), "bool")},
                {"sampling": sampling, "frames_per_second": view.frames_per_second, "short_side": view.short_side},
            )
        )
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
    return tuple(specs)


def canvas_view(extractors: Sequence[Extractor]) -> CanvasView:
    """The view in which frames are kept."""
    rates = [extractor.view.frames_per_second for extractor in extractors if isinstance(extractor.view, FrameView)]
    return CanvasView(max(rates, default=DEFAULT_FRAMES_PER_SECOND))


def audio_views(extractors: Sequence[Extractor]) -> list[AudioView]:
    """The distinct audio views of some backbones."""
    return list(dict.fromkeys(item.view for item in extractors if isinstance(item.view, AudioView)))


def makes_logmel(extractor: Extractor) -> bool:
    """Whether a backbone's units are the log-mels that ``--keep logmel`` keeps."""
    return extractor.array_name == LOGMEL_BACKBONE


def kept_canvas(specs: Sequence[DecodedSpec]) -> CanvasView | None:
    """The view in which frames are kept, if they are."""
    for spec in specs:
        if spec.name == "frames":
            return CanvasView(int(spec.facts["frames_per_second"]))
    return None


def kept_audio_views(specs: Sequence[DecodedSpec]) -> list[AudioView]:
    """The rates at which waveforms are kept."""
    return [AudioView(int(spec.facts["sample_rate_hz"])) for spec in specs if spec.name.startswith("waveform_")]


class Keeper:
    """Writes kept intermediates of decoded clips.

    Args:
        specs: what is kept, by ledger name.
    """

    def __init__(self, specs: Mapping[str, DecodedSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs.values()}

    def keep(self, job: ShardJob, row: int, decoded: DecodedClip) -> None:
        """Write a clip's frames and waveforms, or note that it has none."""
        report = decoded.report
        entry = row_of(job.clip_id(row), report)
        usable = report.status.has_features
        for name, spec in self._specs.items():
            if name == "frames":
                kept = decoded.kept if usable else None
                facts = {"size": np.stack([kept.heights, kept.widths], axis=1), "valid": kept.valid} if kept else {}
                job.keep(spec.ledger_name, row, kept.pixels if kept else None, facts, entry)
            elif name.startswith("waveform_"):
                sound = decoded.waveforms.get(AudioView(int(spec.facts["sample_rate_hz"]))) if usable else None
                samples = {"samples": sound.valid_samples} if sound else {}
                job.keep(spec.ledger_name, row, sound.samples if sound else None, samples, entry)

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
