"""Opens buckets with what a Prefect block or variable holds. Values are never logged; only names travel with a run."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import fsspec.config
from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from prefect.filesystems import RemoteFileSystem
from prefect.variables import Variable

from storage.errors import InvalidInput

Options = Mapping[str, Mapping[str, Any]]
_EXPECTED = 'fsspec options by protocol, such as {"s3": {"key": "…", "secret": "…", "endpoint_url": "…"}}'
_LOCK = threading.Lock()
_USES: Counter[str] = Counter()
_BEFORE: dict[str, dict[str, str | None]] = {}
_IN_USE: ContextVar[str | None] = ContextVar("name of the bucket options in use", default=None)


def options_of(name: str) -> Options:
    """Read fsspec options from the server.

    Args:
        name: a block with its type, such as ``secret/lab`` or ``remote-file-system/lab``; without a slash a variable.

    Raises:
        InvalidInput: If there is none of that name, or it holds something else.
    """
    try:
        found: Any = Block.load(name) if "/" in name else Variable.get(name)
    except ValueError as problem:
        raise InvalidInput(f"credentials {name!r}: no such block on the server. See: prefect block ls") from problem
    if isinstance(found, RemoteFileSystem):
        found = {found.basepath.partition("://")[0]: found.settings}
    elif isinstance(found, Secret):
        found = found.get()
    elif found is None:
        raise InvalidInput(f"credentials {name!r}: no such variable on the server. See: prefect variable ls")
    if not isinstance(found, Mapping) or not all(isinstance(value, Mapping) for value in found.values()):
        raise InvalidInput(f"credentials {name!r}: expected {_EXPECTED}")  # what it holds may be a secret
    return found


@contextmanager
def bucket_access(name: str | None) -> Iterator[None]:
    """Open buckets with these options, in this process and in those that it starts.

    They reach fsspec as its own variables ``FSSPEC_<PROTOCOL>`` do. Threads that use the same name share them.

    Args:
        name: see :func:`options_of`; ``None`` leaves everything as it is.

    Raises:
        InvalidInput: See :func:`options_of`.
    """
    if name is None:
        yield
        return
    with _LOCK:
        if not _USES[name]:
            _BEFORE[name] = _apply(_as_variables(name, options_of(name)))
        _USES[name] += 1
    token = _IN_USE.set(name)
    try:
        yield
    finally:
        _IN_USE.reset(token)
        with _LOCK:
            _USES[name] -= 1
            if not _USES[name]:
                _apply(_BEFORE.pop(name))


def name_in_use() -> str | None:
    """The name that :func:`bucket_access` was given, for tasks that a cluster runs elsewhere."""
    return _IN_USE.get()


def _as_variables(name: str, options: Options) -> dict[str, str | None]:
    try:
        return {f"FSSPEC_{protocol.upper()}": json.dumps(dict(values)) for protocol, values in options.items()}
    except TypeError:
        raise InvalidInput(f"credentials {name!r}: holds a value that is no JSON") from None


def _apply(variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """Set environment variables and fsspec's options to match; returns what was there."""
    before = {variable: os.environ.get(variable) for variable in variables}
    for variable, value in variables.items():
        os.environ.pop(variable, None)
        fsspec.config.conf.pop(variable.removeprefix("FSSPEC_").lower(), None)
        if value is not None:
            os.environ[variable] = value
    fsspec.config.set_conf_env(fsspec.config.conf)
    return before
