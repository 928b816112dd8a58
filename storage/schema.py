"""Plain data types of a store: statuses, feature specs and provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any, Literal, Self

from storage.plain_fields import checked_fields

SCHEMA_VERSION = 1

Modality = Literal["visual", "audio"]
Sampling = Literal["uniform", "published"]
SAMPLINGS: tuple[Sampling, ...] = ("uniform", "published")


class Status(IntEnum):
    """How a clip ended. The numbers are stored: add to the end, never renumber.

    ``PENDING`` is the fill value of a status array: nobody has committed this row yet.
    """

    PENDING = 0
    OK = 1
    PARTIAL = 2
    MISSING = 3
    UNREADABLE = 4
    NO_STREAMS = 5
    TOO_SHORT = 6
    DECODE_ERROR = 7
    TIMEOUT = 8
    OUT_OF_MEMORY = 9
    EXTRACTOR_ERROR = 10

    @property
    def label(self) -> str:
        """The word that reports and the ledger use, e.g. ``decode_error``."""
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> Self:
        """Inverse of :attr:`label`."""
        return cls[label.upper()]

    @property
    def has_features(self) -> bool:
        """Whether a row with this status can hold features."""
        return self in (Status.OK, Status.PARTIAL)


@dataclass(frozen=True)
class FeatureSpec:
    """Shape and meaning of one feature array.

    Attributes:
        name: the array's group in the store, ``features/<name>``.
        steps: stored time steps a clip.
        dim: values a step.
        modality: ``visual`` or ``audio``.
        step_seconds: time between steps; ``None`` where steps are not on the clip's time grid.
        dtype: ``float32`` or ``float16``.
        description: one line for people.
        window_seconds: how much of the clip a step is made from, where that is not the time between steps; ``None``
            where it is.
    """

    name: str
    steps: int
    dim: int
    modality: Modality
    step_seconds: float | None = None
    dtype: Literal["float32", "float16"] = "float32"
    description: str = ""
    window_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``zarr.json``."""
        data = asdict(self)
        if self.window_seconds is None:  # as before there were windows: fingerprints are made from this
            del data["window_seconds"]
        return data

    @property
    def time_grid(self) -> str:
        """The steps in words, such as ``19 steps of 0.48 s, each from 0.96 s``."""
        if self.step_seconds is None:
            return f"{self.steps} steps"
        each = "" if self.window_seconds is None else f", each from {self.window_seconds:g} s"
        return f"{self.steps} steps of {self.step_seconds:g} s{each}"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`.

        Raises:
            TypeError: If a value is of another type, or a field is missing or unknown.
        """
        return cls(**checked_fields(cls, data))


@dataclass(frozen=True)
class Provenance:
    """Where a feature array comes from.

    The first group of fields is its identity: two arrays may be mixed only if these are equal.
    The second group is for the record and is not compared.

    Attributes:
        backbone: registered name.
        code_version: the extractor's own version, raised when its numbers change.
        weights: ``random:<seed>`` or ``sha256:<hex>``.
        preprocessing: what was done to frames or samples before the network.
        sampling: ``uniform`` or ``published``.
        source: ``media``, or ``decoded/frames`` and the like where kept arrays were read.
        precision: ``float32``, ``tf32``, ``bfloat16`` or ``float16``.
        weights_source: URL, path or package that the weights came from.
        engine: what ran the network when the array was made, ``torch`` or ``openvino``; empty in older stores.
        decoder: name and version of each decoder.
        libraries: package versions.
        created: ISO date and time, UTC.
    """

    backbone: str
    code_version: str
    weights: str
    preprocessing: Mapping[str, Any]
    sampling: str
    source: str = "media"
    precision: str = "float32"
    weights_source: str = ""
    engine: str = ""
    decoder: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    created: str = ""

    IDENTITY = ("backbone", "code_version", "weights", "preprocessing", "sampling", "source", "precision")

    def identity(self) -> dict[str, Any]:
        """The fields that must be equal for rows to be mixed."""
        return {name: json.loads(json.dumps(getattr(self, name))) for name in self.IDENTITY}

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``zarr.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`.

        Raises:
            TypeError: If a value is of another type, or a field is missing or unknown.
        """
        return cls(**checked_fields(cls, data))


def fingerprint(spec: FeatureSpec, provenance: Provenance) -> str:
    """Short content address of a backbone: spec, weights, sampling and the rest of its identity.

    Returns:
        16 hexadecimal digits.
    """
    content = {"spec": spec.to_json(), "identity": provenance.identity()}
    content["spec"].pop("description")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
