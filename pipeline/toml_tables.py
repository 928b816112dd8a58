"""Reads TOML tables into pydantic dataclasses, with one line for the first mistake."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from storage.errors import InvalidInput
from storage.foreign_files import reading
from storage.text import visible

FORBID_EXTRA = ConfigDict(extra="forbid")
"""For ``@dataclass(frozen=True, config=FORBID_EXTRA)``."""

# The description of a field is what its error message says was expected.
Flag = Annotated[bool, Field(strict=True, description="true or false")]
Count = Annotated[int, Field(strict=True, ge=1, description="a whole number, 1 or more")]
CountOrZero = Annotated[int, Field(strict=True, ge=0, description="a whole number, 0 or more")]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1, description="a number from 0 to 1")]
Amount = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False, description="a number, 0 or more")]

_SHOWN_VALUE = 80
T = TypeVar("T")


def parse_toml(text: str, *, source: object) -> dict[str, Any]:
    """TOML as plain data.

    Raises:
        InvalidInput: If it is not TOML; the message gives the line.
    """
    with reading(source, "not TOML", error=InvalidInput):
        return tomllib.loads(text)


def read_table(kind: type[T], table: Mapping[str, Any], *, where: str) -> T:
    """Make a pydantic dataclass from a table and the tables in it.

    Args:
        kind: the dataclass. A field's description, if it has one, says in words what is expected.
        table: from TOML.
        where: the file or table, for messages.

    Raises:
        InvalidInput: If a key is unknown (the nearest is named), or a value has another type or is out of range.
    """
    try:
        return TypeAdapter(kind).validate_python(table)
    except ValidationError as problem:
        raise InvalidInput(f"{where}: {_one_line(kind, problem.errors(include_url=False)[0])}") from None


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """``" Did you mean …?"`` with the nearest choice; empty if none is near."""
    near = difflib.get_close_matches(str(name), list(choices), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _one_line(kind: Any, error: ErrorDetails) -> str:
    """Where in the table the error is, what was expected there, and what came."""
    if error["type"] == "value_error":  # raised by a validator of ours, with a whole message
        return ": ".join([*_keys(kind, error["loc"]), str(error["ctx"]["error"])])
    *tables, last = error["loc"] or ("",)
    if error["type"] == "unexpected_keyword_argument":
        known = list(get_type_hints(_at(kind, tables)))
        problem = f"unknown key {visible(last)!r}.{did_you_mean(last, known)} Keys: {', '.join(known)}"
        return ": ".join([*_keys(kind, tables), problem])
    if error["type"] == "missing" and isinstance(last, str):
        return ": ".join([*_keys(kind, tables), f"the key {last!r} is missing"])
    place = _at(kind, error["loc"])
    got = error["ctx"]["tag"] if error["type"] == "union_tag_invalid" else error["input"]
    near = did_you_mean(got, _choices(place)) if isinstance(got, str) else ""
    problem = f"expected {_expected(place)}, got {visible(repr(got), limit=_SHOWN_VALUE)}{near and '.'}{near}"
    return ": ".join([*_keys(kind, error["loc"]), problem])


def _walk(kind: Any, path: Iterable[int | str]) -> list[tuple[str, Any]]:
    """Keys on an error's path with the types of their values; pydantic puts the name of a union's member in between."""
    found: list[tuple[str, Any]] = []
    for part in path:
        plain = _plain(kind)
        if is_dataclass(plain):
            kind = get_type_hints(plain, include_extras=True)[str(part)]
            found.append((str(part), kind))
        elif get_origin(plain) is Mapping:
            kind = get_args(plain)[1]
            found.append((str(part), kind))
        elif isinstance(plain, UnionType):
            kind = next(member for member in get_args(plain) if member.name == part)
        else:
            break  # inside a list
    return [*found, ("", kind)]


def _keys(kind: Any, path: Iterable[int | str]) -> list[str]:
    return [key for key, _ in _walk(kind, path)[:-1]]


def _at(kind: Any, path: Iterable[int | str]) -> Any:
    return _walk(kind, path)[-1][1]


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _choices(kind: Any) -> tuple[str, ...]:
    """Values of a literal, or names of a union's members."""
    plain = _plain(kind)
    if isinstance(plain, UnionType):
        return tuple(member.name for member in get_args(plain))
    return get_args(plain) if get_origin(plain) is Literal else ()


def _expected(kind: Any) -> str:
    notes = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    for note in notes:
        if isinstance(note, FieldInfo) and note.description:
            return note.description
    plain, choices = _plain(kind), ", ".join(_choices(kind))
    if isinstance(plain, UnionType):
        return f"one of {choices}, or a table with one of these names"
    return f"one of {choices}" if choices else "a text" if plain is str else "a table"
