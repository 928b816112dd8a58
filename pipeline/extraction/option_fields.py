"""Reads the fields of a dataclass of options: their types, choices, limits, defaults and texts."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt
from typing_extensions import Doc

from storage.errors import InvalidInput


@dataclass(frozen=True)
class OptionField:
    """One option.

    Attributes:
        name: of the field.
        annotation: its type as written.
        text: one line for people.
        default: ``dataclasses.MISSING`` where it must be given.
        kind: ``bool``, ``int``, ``float`` or ``str``; of an entry, where there are many.
        choices: the values there are; empty for any.
        many: whether it is a list.
        optional: whether it may be ``None``.
        least: smallest number, or ``None``.
        above: number that it must be larger than, or ``None``.
    """

    name: str
    annotation: Any
    text: str
    default: Any
    kind: type
    choices: tuple[str, ...] = ()
    many: bool = False
    optional: bool = False
    least: int | None = None
    above: float | None = None

    def problem(self, value: Any) -> str:
        """What was expected instead of a value of this option, or of an entry; empty where it fits."""
        if value is None:
            return "" if self.optional else self._expected
        return "" if self._fits(value) else self._expected

    def _fits(self, value: Any) -> bool:
        if value == () and self.many:
            return True
        wanted = (int, float) if self.kind is float else self.kind
        if not isinstance(value, (str, float, int)) or not isinstance(value, wanted):
            return False
        if isinstance(value, bool) is not (self.kind is bool):
            return False
        if self.choices:
            return value in self.choices
        if isinstance(value, str):
            return bool(value)
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return (self.least is None or value >= self.least) and (self.above is None or value > self.above)

    @property
    def _expected(self) -> str:
        if self.choices:
            return ("some of " if self.many else "one of ") + ", ".join(self.choices)
        limit = f" of {self.least} or more" if self.least is not None else ""
        limit = f" above {self.above:g}" if self.above is not None else limit
        names = {bool: "True or False", int: "a whole number", float: "a finite number", str: "a text"}
        return names[self.kind] + limit


def option_fields(kind: type) -> tuple[OptionField, ...]:
    """The fields of a dataclass, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(_field(item, hints[item.name]) for item in dataclasses.fields(kind))


def switches_of(kind: type) -> dict[str, bool]:
    """The names of a dataclass's options, and which of them are yes or no."""
    return {item.name: item.kind is bool for item in option_fields(kind)}


def _field(item: dataclasses.Field[Any], annotation: Any) -> OptionField:
    parts = list(_unwrapped(annotation))
    facts = [part for part in parts if not isinstance(part, type)]
    default = item.default_factory() if item.default_factory is not MISSING else item.default
    literals = next((get_args(part) for part in facts if get_origin(part) is Literal), ())
    kinds = [part for part in parts if part in (bool, int, float, str)]
    return OptionField(
        name=item.name,
        annotation=annotation,
        text=next((part.documentation for part in facts if isinstance(part, Doc)), ""),
        default=default,
        kind=kinds[0] if kinds else str,
        choices=literals,
        many=tuple in parts,
        optional=type(None) in parts,
        least=next((part.ge for part in facts if isinstance(part, Ge) and isinstance(part.ge, int)), None),
        above=next((part.gt for part in facts if isinstance(part, Gt) and isinstance(part.gt, (int, float))), None),
    )


def _unwrapped(annotation: Any) -> Iterator[Any]:
    """The plain types, literals and facts inside an annotation."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from annotation.__metadata__
        yield from _unwrapped(annotation.__origin__)
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _unwrapped(part)
    elif origin is tuple:
        yield tuple
        yield from _unwrapped(get_args(annotation)[0])
    else:
        yield annotation


def check_fields(options: Any) -> None:
    """Look at every value of a frozen dataclass of options, and turn lists into tuples.

    Raises:
        InvalidInput: If one does not fit; the message names the option.
    """
    for item in option_fields(type(options)):
        value = getattr(options, item.name)
        if item.many and value is not None:
            if isinstance(value, str):
                raise InvalidInput(f"{item.name} {value!r}: expected a list, such as [{value!r}]")
            value = tuple(value)
            object.__setattr__(options, item.name, value)
        for part in value if item.many and value else (value,):
            if expected := item.problem(part):
                raise InvalidInput(f"{item.name.replace('_', ' ')} {part!r}: expected {expected}")
