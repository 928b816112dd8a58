"""Finds files that PyPI packages ship, without importing the packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def package_folder(package: str) -> Path | None:
    """Where a package's files are; ``None`` where it is not installed.

    The package is not imported: what it imports in turn need not be installed.

    Args:
        package: its distribution's name, which is that of its module but for the dashes.
    """
    spec = importlib.util.find_spec(package.replace("-", "_"))
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0]) if folders else None
