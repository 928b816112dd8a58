"""Names of flow runs, made from their parameters: what is run, on what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prefect.runtime import flow_run

from flows.log_lines import unmarked
from flows.parameters import several
from storage.text import visible

_MOST_CHARACTERS = 120
_MOST_NAMES = 3


def named_by(template: str, **defaults: str) -> Callable[[], str]:
    """A flow's ``flow_run_name``.

    Args:
        template: as for ``str.format``, with the parameters' names. Of a list the first three are named.
        defaults: of parameters that may be left out: Prefect knows of those only that were given.
    """

    def run_name() -> str:
        return name_of(template, {**defaults, **flow_run.parameters})

    return run_name


def name_of(template: str, parameters: Mapping[str, Any]) -> str:
    """A run's name, in one line and without markup: Prefect's command line prints it as markup.

    Args:
        template: see :func:`named_by`.
        parameters: of the run.
    """
    texts = {name: _in_words(value) for name, value in parameters.items()}
    return unmarked(visible(template.format_map(texts), limit=_MOST_CHARACTERS))


def _in_words(value: Any) -> str:
    if not isinstance(value, (str, list, tuple)):
        return str(value)
    names = several(value)
    more = len(names) - _MOST_NAMES
    return ", ".join(map(str, names[:_MOST_NAMES])) + (f" and {more} more" if more > 0 else "")
