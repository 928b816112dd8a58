"""The spec of a kept intermediate: frames, a waveform or log-mels that were stored on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

_AXES = {
    "frames": ("frames", "height", "width", "channels"),
    "frames_size": ("frames", "height_width"),
    "frames_valid": ("frames",),
    "logmel": ("segments", "mel_frames", "mel_bands"),
    "logmel_valid": ("segments",),
    "thumbnails": ("seconds", "thumbnail_height", "thumbnail_width", "channels"),
    "thumbnails_size": ("seconds", "height_width"),
    "thumbnails_valid": ("seconds",),
    "envelope": ("steps_50ms", "low_high"),
}
"""Names of the axes behind ``clips``. Arrays of one group share an axis only if it has the same length in each."""


@dataclass(frozen=True)
class DecodedSpec:
    """One kept intermediate.

    Attributes:
        name: ``frames``, ``waveform_16000``, ``waveform_48000``, ``logmel``, ``thumbnails`` or ``envelope``: the array
            ``decoded/<name>``.
        shape: of one clip, e.g. ``[frames, height, width, 3]``.
        dtype: numpy name.
        companions: small arrays beside it, ``decoded/<name>_<key>``: key to ``(shape of one clip, dtype)``,
            e.g. which frames are valid and how large they truly are.
        facts: how it was made: sampling, frame rate, and so on.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    companions: Mapping[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ledger_name(self) -> str:
        """Its folder in the ledger."""
        return f"decoded.{self.name}"

    def axes(self, companion: str = "") -> tuple[str | None, ...]:
        """Names of the axes behind ``clips``, of the array or of one of its companions; ``None`` where there is none.

        The samples of a waveform are named by its rate (``samples_16000``), for waveforms differ in length.
        """
        shape = self.companions[companion][0] if companion else self.shape
        name = f"{self.name}_{companion}" if companion else self.name
        known = (name.replace("waveform", "samples"),) if name.startswith("waveform") else _AXES.get(name, ())
        return known if len(known) == len(shape) else (None,) * len(shape)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``zarr.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        companions = {key: (tuple(shape), dtype) for key, (shape, dtype) in data["companions"].items()}
        return cls(data["name"], tuple(data["shape"]), data["dtype"], companions, dict(data["facts"]))
