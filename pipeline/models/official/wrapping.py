"""Unwraps state dicts as training scripts save them: nested in other facts, names behind a wrapper's prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.errors import WeightsError
from storage.text import visible

_KEYS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "model.")
"""Of ``DataParallel`` and ``AveragedModel``, of ``torch.compile``, and of a training module that holds the model."""

_AVERAGED = "n_averaged"
"""The counter beside an ``AveragedModel``'s weights."""

_MOST_LEVELS = 8
_SHOWN = 80


def unwrapped(found: Mapping[Any, Any], *, where: str) -> dict[Any, Any]:
    """The innermost state dict, with plain names.

    Args:
        found: a state dict, or a mapping with one below ``state_dict``, ``model_state_dict`` or ``model``, beside
            anything else.
        where: begins the error.

    Raises:
        WeightsError: If it has several, or levels without end.
    """
    return _without_prefixes(_innermost(found, where))


def _innermost(found: Mapping[Any, Any], where: str) -> Mapping[Any, Any]:
    for _ in range(_MOST_LEVELS):
        below = [key for key in _KEYS if isinstance(found.get(key), Mapping)]
        if not below:
            return found
        if len(below) > 1:
            raise WeightsError(f"{where}: has {' and '.join(below)}. Save the one that you mean alone")
        found = found[below[0]]
    raise WeightsError(f"{where}: has no state dict within {_MOST_LEVELS} levels")


def _without_prefixes(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """Cut off what stands in front of every name, as often as it does."""
    plain = dict(state)
    while prefix := _prefix_of(plain):
        plain = {name.removeprefix(prefix): value for name, value in plain.items() if name != _AVERAGED}
    return plain


def _prefix_of(state: Mapping[Any, Any]) -> str:
    names = [name for name in state if name != _AVERAGED]
    if not names or not all(isinstance(name, str) for name in names):
        return ""
    return next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in names)), "")


def shown(name: object) -> str:
    """A name of a foreign file, fit to print."""
    return visible(name, limit=_SHOWN)
