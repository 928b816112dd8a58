"""Reads a recipe's ``[model]`` table into a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pipeline.models.config import SYSTEMS, LocalizerConfig, MMCSEConfig, ModelConfig, ParserConfig
from pipeline.toml_tables import did_you_mean, read_table
from storage.errors import InvalidInput

_KINDS: Mapping[str, type[ModelConfig]] = {"parser": ParserConfig, "mmcse": MMCSEConfig, "localizer": LocalizerConfig}


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
        InvalidInput: If a key or a name is unknown (the nearest is named), or a value has another type or is out of
            range.
    """
    given = dict(table)
    system = given.pop("system", None)
    if system is not None:
        given = _merged(asdict(system_config(system)), given)
    kind: type[ModelConfig] = _KINDS[known(given.get("name", "parser"), _KINDS, "model: name")]
    return read_table(kind, given, where="model")


def system_table(system: str, config: ModelConfig) -> dict[str, Any]:
    """The shortest ``[model]`` table of a configuration: ``system``, and what differs from it.

    Args:
        system: a name of :data:`SYSTEMS`, of the same encoder and decoder.
        config: in full.
    """
    return {"system": system, **_changes(asdict(system_config(system)), asdict(config))}


def parts_of(config: ModelConfig) -> tuple[str, ...]:
    """Names of a configuration's kind, encoder and decoder."""
    if isinstance(config, MMCSEConfig):
        return (config.name,) if config.encoder.name == "none" else (config.name, config.encoder.name)
    return (config.name, config.encoder.name, config.decoder.name)


def known(name: Any, choices: Iterable[str], where: str) -> str:
    """Check a name against the valid ones.

    Raises:
        InvalidInput: If it is none of them; the message names the nearest.
    """
    names = list(choices)
    if isinstance(name, str) and name in names:
        return name
    raise InvalidInput(f"{where}: {name!r} is unknown.{did_you_mean(name, names)} Choices: {', '.join(names)}")


def _changes(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of :func:`_merged` for tables of the same names."""
    found: dict[str, Any] = {}
    for key, value in other.items():
        if value != base[key]:
            found[key] = _changes(base[key], value) if isinstance(value, Mapping) else value
    return found


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge changes into a base, key by key; a table with another name replaces the base's table."""
    result = dict(base)
    for key, value in changes.items():
        below = base.get(key)
        named = {"name": value} if isinstance(value, str) and isinstance(below, dict) and "name" in below else value
        if isinstance(below, dict) and isinstance(named, Mapping) and named.get("name") in (None, below.get("name")):
            result[key] = _merged(below, named)
        else:
            result[key] = named
    return result
