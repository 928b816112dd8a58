"""What every function of the interface does around its work."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from pipeline.option_names import as_parameters
from storage.errors import AvvpError
from storage.extras import naming_extras

P = ParamSpec("P")
R = TypeVar("R")


def from_python(function: Callable[P, R]) -> Callable[P, R]:
    """Word errors for a caller in Python: its keywords instead of options, and extras for packages that are missing."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with naming_extras():
                return function(*args, **kwargs)
        except AvvpError as problem:
            problem.args = (as_parameters(str(problem), _keywords_of(function), yes="True"),)
            raise

    return call


def _keywords_of(function: Callable[..., object]) -> Mapping[str, bool]:
    """Its keywords, and which of them are yes or no. ``**options`` are those of an extraction."""
    known: dict[str, bool] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            from pipeline.extraction.option_fields import switches_of
            from pipeline.extraction.options import ExtractOptions

            known |= switches_of(ExtractOptions)
        else:
            known[name] = parameter.annotation == "bool"
    return known
