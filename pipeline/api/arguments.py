"""Arguments that several functions take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from storage.errors import InvalidInput

AnyPath = str | PathLike[str]
Weights = str | Sequence[str] | Mapping[str, str]
Value = str | bool | int | float | Sequence[Any]


def text_of(path: AnyPath) -> str:
    """A path or URL as text."""
    return str(path)


def weights_texts(weights: Weights, backbones: Sequence[str] | None = None) -> tuple[str, ...]:
    """Weights as the command line takes them.

    Raises:
        InvalidInput: If one is for none of ``backbones``, where they are known.
    """
    if isinstance(weights, str):
        return (weights,)
    if not isinstance(weights, Mapping):
        return tuple(weights)
    if backbones is not None and (unknown := [name for name in weights if name not in backbones]):
        raise InvalidInput(f"weights for {unknown[0]!r}: is not among the backbones: {', '.join(backbones)}")
    return tuple(f"{name}={value}" for name, value in weights.items())
