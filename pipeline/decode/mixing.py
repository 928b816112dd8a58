"""Mixes down channels without positions: ambisonics, and tracks of an editing program."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def lacks_places(frame: Any) -> bool:
    """Whether swresample cannot mix these channels: ambisonics, or channels without places."""
    odd = ("AMBI", "NONE", "UNK", "USR")
    return any(not channel.name or channel.name.startswith(odd) for channel in frame.layout.channels)


def mono_frame(frame: Any) -> Any:
    """The first channel of ambisonics, which is the sound from everywhere; else the mean of all channels."""
    channels = frame.layout.nb_channels
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, channels).T
    scaled = _as_float(data)
    ambisonic = frame.layout.name.startswith("ambisonic")
    mixed = scaled[:1] if ambisonic else scaled.mean(axis=0, keepdims=True, dtype=np.float32)
    made = av.AudioFrame.from_ndarray(np.ascontiguousarray(mixed, dtype=np.float32), format="fltp", layout="mono")
    made.sample_rate = frame.sample_rate
    return made


def _as_float(data: NDArray[Any]) -> NDArray[np.float32]:
    """Samples of any format as float32 in [-1, 1]."""
    if data.dtype.kind == "f":
        return data.astype(np.float32)
    info = np.iinfo(data.dtype)
    centre = 0 if info.min < 0 else (info.max + 1) // 2
    return ((data.astype(np.float64) - centre) / (info.max - centre + 1)).astype(np.float32)
