"""Tables of TOML into dataclasses, every key and value checked, and back."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from storage.errors import InvalidInput


def read_table(kind: type[Any], table: Mapping[str, Any], *, where: str) -> Any:
    """Make a dataclass of a table, its tables included.

    Args:
        kind: the dataclass; its fields' types are what values must have.
        table: the values.
        where: the table comes from, for messages.

    Raises:
        InvalidInput: If a key is unknown (the nearest is named) or a value is of another type.
    """
    hints = get_type_hints(kind)
    made = {}
    for key, value in table.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InvalidInput(f"{where}: unknown key {key!r}.{hint} Keys: {', '.join(hints)}")
        made[key] = _value(value, hints[key], where=f"{where}: {key}")
    return kind(**made)


def _value(value: Any, kind: Any, *, where: str) -> Any:
    origin = get_origin(kind)
    if isinstance(kind, UnionType):
        kind = next(choice for choice in get_args(kind) if choice is not NoneType)
        origin = get_origin(kind)
    if origin is Literal:
        if value not in get_args(kind):
            raise InvalidInput(f"{where}: expected one of {', '.join(map(str, get_args(kind)))}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InvalidInput(f"{where}: expected a list, got {value!r}")
        return tuple(_value(item, get_args(kind)[0], where=where) for item in value)
    if hasattr(kind, "__dataclass_fields__") or origin is not None:
        if not isinstance(value, Mapping):
            raise InvalidInput(f"{where}: expected a table, got {value!r}")
        return dict(value) if origin is not None else read_table(kind, value, where=where)
    return _plain(value, kind, where=where)


def _plain(value: Any, kind: type, *, where: str) -> Any:
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise InvalidInput(f"{where}: expected {kind.__name__}, got {value!r}")
    if isinstance(value, (int, float)) and not 0 <= value < float("inf"):
        raise InvalidInput(f"{where}: expected a number that is not negative, got {value!r}")
    return value


def toml_of(table: Mapping[str, Any], path: str = "") -> str:
    """Plain data as TOML.

    Args:
        table: of values, lists and tables.
        path: of the table in the whole, with dots.
    """
    lines = [f"{key} = {_toml_value(value)}" for key, value in table.items() if not isinstance(value, Mapping)]
    body = "\n".join(lines) + ("\n" if lines else "")
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = f"{path}.{key}" if path else key
            body += f"\n[{name}]\n{toml_of(value, name)}"
    return body


def _toml_value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml_value, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
