"""Checks that JSON holds what the fields of a dataclass say, before one is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

_KINDS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "Modality": (str,),
    "Literal": (str,),
    "Mapping": (dict,),
}
"""What JSON has for the first word of an annotation."""


def checked_fields(kind: Any, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data, if each value is of its field's type; names of fields are checked by the dataclass itself.

    Args:
        kind: the dataclass.
        data: from JSON.

    Raises:
        TypeError: If a value is of another type.
    """
    for item in fields(kind):
        if item.name not in data:
            continue
        value, annotation = data[item.name], str(item.type)
        expected = _KINDS.get(annotation.partition("[")[0].partition(" ")[0])
        is_none = value is None and annotation.endswith("| None")
        if expected and not is_none and (not isinstance(value, expected) or isinstance(value, bool)):
            raise TypeError(f"{item.name} is {value!r}, expected {annotation}")
    return data
