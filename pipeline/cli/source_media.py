"""Pictures and sound of a clip from its source file, for pages of stores that keep none."""

from __future__ import annotations

import numpy as np

from extractors.views import AudioView
from pipeline.decode.clip import decode_here
from pipeline.decode.frames import CanvasView
from pipeline.extraction.sources import request_of
from pipeline.inspection.clip_page import ClipMedia
from storage.clips import Clip

_SHORT_SIDE, _LONG_SIDE = 96, 288
_SAMPLE_RATE_HZ = 16_000


def media_of(clip: Clip, *, clip_seconds: int) -> ClipMedia:
    """Decode a picture a second and the sound. What cannot be had is missing, and the note says why."""
    view, sound = CanvasView(1, short_side=_SHORT_SIDE, size=_LONG_SIDE), AudioView(_SAMPLE_RATE_HZ)
    found = decode_here(request_of(clip, clip_seconds=clip_seconds, audio_views=[sound], keep=[view]))
    pictures = []
    if (kept := found.kept.get(view)) is not None:
        for place in np.flatnonzero(kept.valid):
            height, width = int(kept.heights[place]), int(kept.widths[place])
            pictures.append((float(place), kept.pixels[place][:height, :width].copy()))
    wave = found.waveforms.get(sound)
    samples = wave.samples.copy() if wave is not None else None
    return ClipMedia(
        tuple(pictures), samples, _SAMPLE_RATE_HZ, problem=f"{found.report.status.label}: {found.report.reason}"
    )
