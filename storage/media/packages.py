"""Checks that the packages for buckets are installed before a run begins."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from storage.errors import InvalidInput
from storage.media.addresses import PACKAGES, in_bucket, is_address, parse_address
from storage.media.opening import needed_package


def refuse_without_packages(paths: Iterable[str]) -> None:
    """Raise InvalidInput if media are in a bucket that this installation cannot read from.

    Args:
        paths: of clips. Of each kind of address, one is looked at.
    """
    kinds = {path.rpartition("::")[2].partition("://")[0]: path for path in paths if is_address(path)}
    for path in kinds.values():
        file = parse_address(path).file
        kind = file.partition("://")[0].lower()
        package = PACKAGES[kind] if in_bucket(file) else ""
        if package and importlib.util.find_spec(package) is None:
            raise InvalidInput(needed_package(kind))
