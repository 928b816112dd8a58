"""Imports decord without the CUDA libraries that it would load."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any


@cache
def decord_module() -> Any:
    """``decord``, silenced.

    Its import loads every library of the ``nvidia`` packages that torch brings, for builds that decode on a GPU: 0.6 s
    and 0.65 GB in each worker, for nothing, since frames are decoded on the CPU. A build that is linked to them gets
    them after all.
    """
    try:
        decord = _import_without("nvidia")
    except (ImportError, OSError, RuntimeError):
        decord = importlib.import_module("decord")
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _import_without(package: str) -> Any:
    """Import decord while a package seems not to be installed; one that is imported already stays visible."""
    hidden = package not in sys.modules
    if hidden:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("decord")
    finally:
        if hidden:
            del sys.modules[package]
