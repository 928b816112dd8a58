"""Arguments that several functions take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

AnyPath = str | PathLike[str]
Weights = str | Sequence[str] | Mapping[str, str]
Value = str | bool | int | float | Sequence[Any]


def text_of(path: AnyPath) -> str:
    """A path or URL as text."""
    return str(path)


def weights_texts(weights: Weights) -> tuple[str, ...]:
    """Weights as the command line takes them."""
    if isinstance(weights, str):
        return (weights,)
    if not isinstance(weights, Mapping):
        return tuple(weights)
    return tuple(f"{name}={value}" for name, value in weights.items())
