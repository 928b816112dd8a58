"""Kept intermediates: frames, waveforms and log-mels that were stored on request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class DecodedSpec:
    """One kept intermediate.

    Attributes:
        name: ``frames``, ``waveform_16000``, ``waveform_48000`` or ``logmel``: the array ``decoded/<name>``.
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

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``zarr.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        companions = {key: (tuple(shape), dtype) for key, (shape, dtype) in data["companions"].items()}
        return cls(data["name"], tuple(data["shape"]), data["dtype"], companions, dict(data["facts"]))
