"""Prints what pip installs for extras of pyproject.toml: the core packages and theirs, one requirement a line.

``python requirements.py "extract flows"`` in a folder with pyproject.toml. Our own package is left out, and an extra
that names others of ours is followed, so that pip can install all of it before our code is copied.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


def requirements(project: Mapping[str, object], extras: Sequence[str]) -> list[str]:
    """Requirements of the core and of some extras, each once.

    Args:
        project: the table ``project`` of pyproject.toml.
        extras: names of extras.

    Raises:
        ValueError: If there is no such extra.
    """
    core, optional = project["dependencies"], project["optional-dependencies"]
    if not isinstance(core, list) or not isinstance(optional, dict):
        raise ValueError("pyproject.toml: expected a list of dependencies and a table of optional-dependencies")
    ours = re.compile(rf"{re.escape(str(project['name']))}\[([\w, -]+)\]")
    seen: set[str] = set()

    def of(names: Sequence[str]) -> Iterator[str]:
        for name in names:
            if name not in optional:
                raise ValueError(f"no extra {name!r} in pyproject.toml. Choose from: {', '.join(optional)}")
            if name in seen:
                continue
            seen.add(name)
            for line in optional[name]:
                named = ours.fullmatch(line)
                yield from of(re.split(r"[, ]+", named[1])) if named else [line]

    return list(dict.fromkeys([*core, *of(extras)]))


if __name__ == "__main__":
    table = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        sys.stdout.writelines(f"{line}\n" for line in requirements(table, " ".join(sys.argv[1:]).split()))
    except ValueError as problem:
        sys.exit(f"requirements.py: {problem}")
