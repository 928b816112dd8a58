"""Arguments that several functions take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from storage.errors import InvalidInput
from storage.media.addresses import is_address
from storage.text import visible

AnyPath = str | PathLike[str]
Weights = str | Sequence[str] | Mapping[str, str]
Value = str | bool | int | float | Sequence[Any]


def text_of(path: AnyPath) -> str:
    """A path or URL as text."""
    return str(path)


def local_file(path: AnyPath) -> Path:
    """A file on this machine.

    Raises:
        InvalidInput: If it is an address.
    """
    if is_address(str(path)):
        raise InvalidInput(f"{visible(path)}: expected a file on this machine. Copy it, or extract it into a store")
    return Path(path)


def weights_texts(weights: Weights) -> tuple[str, ...]:
    """Weights as the command line takes them."""
    if isinstance(weights, str):
        return (weights,)
    if not isinstance(weights, Mapping):
        return tuple(weights)
    return tuple(f"{name}={value}" for name, value in weights.items())
