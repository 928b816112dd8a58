"""Makes flow parameters from the fields of a dataclass. Where several values may be given, one may be given as such."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING
from inspect import Parameter
from typing import Any, Literal, TypeVar

from flows.parameters import Text, several
from pipeline.extraction.option_fields import OptionField, option_fields

_LITERAL: Any = Literal
_LIST: Any = list
"""For types that are made while the program runs."""
Made = TypeVar("Made")
Body = TypeVar("Body", bound=Callable[..., Any])


def fields_of(
    kind: type, *, only: Collection[str] | None = None, without: Collection[str] = ()
) -> tuple[OptionField, ...]:
    """Fields of a dataclass that explain themselves, see :mod:`pipeline.extraction.option_fields`.

    Args:
        kind: the dataclass.
        only: names of fields; ``None`` for all.
        without: names of fields that are left out.
    """
    return tuple(
        item for item in option_fields(kind) if item.name not in without and (only is None or item.name in only)
    )


def asks_for(*fields: OptionField) -> Callable[[Body], Body]:
    """Add parameters to a function that takes ``**asked``: to its signature, and to the end of its docstring.

    Args:
        fields: see :func:`fields_of`.
    """

    def decorate(body: Body) -> Body:
        own = inspect.signature(body, eval_str=True)
        every = [each for each in own.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        every = sorted([*every, *map(_parameter, fields)], key=lambda each: each.default is not Parameter.empty)
        signature = own.replace(parameters=every)

        @functools.wraps(body)
        def asking(*args: Any, **kwargs: Any) -> Any:
            return body(**signature.bind(*args, **kwargs).arguments)

        asking.__signature__ = signature  # type: ignore[attr-defined]
        texts = "".join(f"        {item.name}: {item.text}\n" for item in fields)
        asking.__doc__ = f"{(body.__doc__ or '').rstrip()}\n{texts}"
        return asking  # type: ignore[return-value]

    return decorate


def chosen(kind: type[Made], asked: Mapping[str, Any], **own: Any) -> Made:
    """The dataclass that a flow was asked for.

    Args:
        kind: the dataclass.
        asked: parameters of the flow; those of other dataclasses are left alone.
        own: fields that the flow sets itself.
    """
    fields = [item for item in option_fields(kind) if item.name in asked.keys() - own.keys()]
    given = {item.name: several(asked[item.name]) if item.many else asked[item.name] for item in fields}
    return kind(**given, **own)


def _parameter(item: OptionField) -> Parameter:
    annotation, default = item.annotation, Parameter.empty if item.default is MISSING else item.default
    if item.many:
        entry = _LITERAL[item.choices] if item.choices else Text
        annotation = entry | _LIST[entry]
    if isinstance(default, tuple):
        default = default[0] if len(default) == 1 else list(default)
    return Parameter(item.name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)
