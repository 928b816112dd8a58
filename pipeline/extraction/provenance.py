"""Records where features come from."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from importlib import metadata

from extractors.base import Extractor
from extractors.weights.loading import ResolvedWeights
from storage.schema import Provenance

_LIBRARIES = (
    "avvp-pipeline", "torch", "openvino", "torchvision", "torchaudio", "open_clip_torch", "timm", "transformers",
    "laion-clap", "numpy", "zarr",
)  # fmt: skip
_DECODERS = ("av", "decord2", "pillow")


def provenance_of(
    extractor: Extractor, weights: ResolvedWeights, *, sampling: str, precision: str, source: str, engine: str = ""
) -> Provenance:
    """Everything that an array's numbers depend on, and the circumstances."""
    return Provenance(
        backbone=extractor.name,
        code_version=extractor.code_identity,
        weights=weights.identity,
        preprocessing=dict(extractor.preprocessing),
        sampling=sampling,
        source=source,
        precision=precision,
        engine=engine,
        weights_source=weights.source,
        decoder=versions(_DECODERS),
        libraries=versions(_LIBRARIES),
        created=now(),
    )


def now() -> str:
    """ISO date and time, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of distributions by name, ``absent`` where one is not installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
