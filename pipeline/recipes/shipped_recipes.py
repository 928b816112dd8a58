"""Names of the recipes that come with the package."""

from __future__ import annotations

import importlib.resources
from importlib.resources.abc import Traversable


def shipped_recipes() -> tuple[str, ...]:
    """Names, sorted."""
    files = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def shipped_text(name: str) -> str:
    """The TOML of a recipe of :func:`shipped_recipes`."""
    return (_folder() / f"{name}.toml").read_text(encoding="utf-8")


def _folder() -> Traversable:
    return importlib.resources.files("pipeline.recipes") / "shipped"
