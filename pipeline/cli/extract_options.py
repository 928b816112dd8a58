"""The options of ``avvp extract``, made from the fields of ExtractOptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from functools import wraps
from typing import Any

import click

from pipeline.extraction.option_fields import OptionField, option_fields
from pipeline.extraction.options import ExtractOptions

FLAGS: Mapping[str, str] = {
    "backbones": "--backbone",
    "deadline_seconds": "--deadline",
    "compile_networks": "--compile",
    "part": "--shards",
}
"""Where a flag is not the field's name."""
HELP: Mapping[str, str] = {
    "backbones": "Repeat for several. See: avvp backbones",
    "deadline_seconds": "Seconds to decode one clip in.",
    "keep": "Keep intermediates: frames,waveform,logmel,preview.",
}
"""Where a command line has more to say, or is written in another way."""
SEPARATED = ("keep",)
"""Lists in one value, with commas; the others are repeated."""
WITHOUT = ("shards",)
"""Fields that are for programs."""


def extract_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each field, and what was asked for as ``options``."""
    asked = [item for item in option_fields(ExtractOptions) if item.name not in WITHOUT]

    @wraps(command)
    def with_options(**given: Any) -> Any:
        chosen = {item.name: _value(item, given.pop(item.name)) for item in asked}
        known = {name: value for name, value in chosen.items() if value is not MISSING}
        return command(options=ExtractOptions(**known), **given)

    decorated: Callable[..., Any] = with_options
    for item in reversed(asked):
        decorated = _option(item)(decorated)
    return decorated


def some_extract_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command options for some fields only, and what was given as ``extraction``: fields by name."""
    asked = [item for item in option_fields(ExtractOptions) if item.name in names]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_options(*arguments: Any, **given: Any) -> Any:
            chosen = {item.name: _value(item, given.pop(item.name)) for item in asked}
            known = {name: value for name, value in chosen.items() if value is not MISSING}
            return command(*arguments, extraction=known, **given)

        decorated: Callable[..., Any] = with_options
        for item in reversed(asked):
            decorated = _option(item)(decorated)
        return decorated

    return decorate


def _option(item: OptionField) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """One field as a click option."""
    flag = FLAGS.get(item.name, "--" + item.name.replace("_", "-"))
    text = HELP.get(item.name, item.text)
    if item.kind is bool:
        return click.option(flag, item.name, is_flag=True, help=text)
    if item.many:
        return click.option(flag, item.name, multiple=item.name not in SEPARATED, help=text)
    shown = not item.optional
    default = item.default if shown else None
    return click.option(flag, item.name, type=_type(item), default=default, show_default=shown, help=text)


def _type(item: OptionField) -> click.ParamType[Any]:
    if item.choices:
        return click.Choice(item.choices)
    if item.kind is int:
        return click.IntRange(item.least)
    if item.kind is float:
        return click.FloatRange(item.above, min_open=item.above is not None)
    return click.STRING


def _value(item: OptionField, given: Any) -> Any:
    """What a field gets; ``MISSING`` where its own default counts."""
    if item.name in SEPARATED:
        return tuple(part.strip() for part in (given or "").split(",") if part.strip())
    if item.many and not given and item.default is not MISSING:
        return MISSING
    return given
