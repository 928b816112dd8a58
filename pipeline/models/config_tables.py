"""Read a recipe's ``[model]`` table into a configuration, every key and value checked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pipeline.models.config import (
    FEATURES,
    SYSTEMS,
    FeaturesConfig,
    LocalizerConfig,
    MMCSEConfig,
    ModelConfig,
    ParserConfig,
)
from storage.errors import InvalidInput


def system_config(system: str) -> ModelConfig:
    """The configuration of a published system.

    Raises:
        InvalidInput: If there is no such system; the message names the nearest.
    """
    return SYSTEMS[known(system, SYSTEMS, "system")]


def model_config(table: Mapping[str, Any]) -> ModelConfig:
    """Read a recipe's ``[model]`` table.

    Args:
        table: the fields of :class:`ParserConfig` (``name = "parser"``, the default), :class:`MMCSEConfig`
            (``name = "mmcse"``) or :class:`LocalizerConfig` (``name = "localizer"``); or ``system``, a name of
            :data:`SYSTEMS`, and what differs from it. ``encoder`` and ``decoder`` are tables with a ``name``, or the
            name alone; ``features`` is a table or a name of :data:`FEATURES`.

    Raises:
        InvalidInput: If a key or a name is unknown (the nearest is named) or a value has another type.
    """
    given = dict(table)
    system = given.pop("system", None)
    if system is not None:
        given = _merged(asdict(system_config(system)), given)
    kinds = {"parser": ParserConfig, "mmcse": MMCSEConfig, "localizer": LocalizerConfig}
    config = _read(given, kinds, "model", default="parser")
    if not isinstance(config, ParserConfig | MMCSEConfig | LocalizerConfig):
        raise TypeError(type(config))
    return config


def known(name: Any, choices: Iterable[str], where: str) -> str:
    """Check a name against the valid ones.

    Raises:
        InvalidInput: If it is none of them; the message names the nearest.
    """
    names = list(choices)
    if isinstance(name, str) and name in names:
        return name
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise InvalidInput(f"{where}: {name!r} is unknown.{hint} Choices: {', '.join(names)}")


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes over a base, tables by their keys; a table or name of another kind replaces the base's."""
    result = dict(base)
    for key, value in changes.items():
        below = base.get(key)
        named = {"name": value} if isinstance(value, str) and isinstance(below, dict) and "name" in below else value
        if isinstance(below, dict) and isinstance(named, Mapping) and named.get("name") in (None, below.get("name")):
            result[key] = _merged(below, named)
        else:
            result[key] = named
    return result


def _read(value: Any, choices: Mapping[str, Any], where: str, *, default: str = "") -> Any:
    """Make the dataclass that a table's ``name`` says."""
    table = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping):
        raise InvalidInput(f"{where}: expected a table or a name, got {value!r}")
    return _make(choices[known(table.get("name", default), choices, where)], table, where)


def _make(made: type[Any], table: Mapping[str, Any], where: str) -> Any:
    hints = get_type_hints(made)
    return made(
        **{key: _value(value, hints[known(key, hints, where)], f"{where}.{key}") for key, value in table.items()}
    )


def _value(value: Any, kind: Any, where: str) -> Any:
    """Check one value against its field's type."""
    if get_origin(kind) is Literal:
        return known(value, get_args(kind), where)
    if isinstance(kind, UnionType):  # of dataclasses, told apart by the default of their name
        return _read(value, {choice().name: choice for choice in get_args(kind)}, where)
    if kind is FeaturesConfig and isinstance(value, str):
        return FEATURES[known(value, FEATURES, where)]
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise InvalidInput(f"{where}: expected a table or a name, got {value!r}")
        return _make(FeaturesConfig, value, where)
    return _number(value, kind, where)


def _number(value: Any, kind: Any, where: str) -> Any:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or value < 0:
        what = "true or false" if kind is bool else f"a number of type {kind.__name__}, not negative"
        raise InvalidInput(f"{where}: expected {what}, got {value!r}")
    return value
