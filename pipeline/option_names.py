"""Words a message for people who do not sit at a command line: ``weights`` where that one says ``--weights``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
_COMMAND = re.compile(r"(?<![\w/.-])(?:avvp|prefect|pip|python3?|git) (?:[^.,;()\n]|[.,](?=\S))*")
"""A command to copy, up to the end of its sentence or a comma. It stays as it is."""
_OTHER_NAMES = {
    "backbone": "backbones",
    "set": "changes",
    "limit": "clip_limit",
    "compile": "compile_networks",
    "deadline": "deadline_seconds",
    "format": "formats",
}
"""Options of the command line whose parameter has another name."""


def parameters_of(body: Callable[..., Any]) -> dict[str, bool]:
    """The parameters of a flow or function, and which of them are yes or no. Its annotations must be importable."""
    found: Mapping[str, Parameter] = signature(body, eval_str=True).parameters
    return {name: bool in _plain(parameter.annotation) for name, parameter in found.items()}


def _plain(annotation: Any) -> tuple[Any, ...]:
    """A type, and what is inside an ``Annotated`` one."""
    return annotation, getattr(annotation, "__origin__", None)


def as_parameters(text: str, known: Mapping[str, bool], *, yes: str = "true") -> str:
    """A message with the names of parameters instead of command-line options.

    ``or use --weights random:0`` becomes ``or use weights random:0``, and ``add --rebuild`` becomes ``add
    rebuild=true``. Commands to copy, and options that are no parameter, stay as they are.

    Args:
        text: a message of the library.
        known: see :func:`parameters_of`.
        yes: how a yes is written.
    """
    parts, end = [], 0
    for command in _COMMAND.finditer(text):
        parts += [_renamed(text[end : command.start()], known, yes), command[0]]
        end = command.end()
    return "".join([*parts, _renamed(text[end:], known, yes)])


def _renamed(text: str, known: Mapping[str, bool], yes: str) -> str:
    def parameter(match: re.Match[str]) -> str:
        plain = match[1].replace("-", "_")
        name = plain if plain in known else _OTHER_NAMES.get(match[1], plain)
        if name not in known:
            return match[0]
        return f"{name}={yes}" if known[name] else name

    return _OPTION.sub(parameter, text)
