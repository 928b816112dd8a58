"""From clips to features, labels, trained parsers and scores.

``from pipeline import extract, open_store, features_of, parse, train, evaluate``: see :mod:`pipeline.api`. Nothing is
imported until one of them is asked for.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api import evaluate as evaluate
    from pipeline.api import extract as extract
    from pipeline.api import features_of as features_of
    from pipeline.api import open_store as open_store
    from pipeline.api import parse as parse
    from pipeline.api import train as train

__all__ = ["evaluate", "extract", "features_of", "open_store", "parse", "train"]


class _Package(ModuleType):
    """This package, in which ``train`` and ``evaluate`` stay functions.

    ``python -m pipeline.train`` needs a module of that name, and Python sets an imported module as an attribute of its
    package. ``from pipeline.train import run_training`` works all the same: it does not look at the attribute.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pipeline.api

    return getattr(pipeline.api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Package
