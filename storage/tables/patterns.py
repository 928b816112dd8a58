"""Names of several files in one text: ``shards/{000..012}.tar``, ``shards/{a,b}/*.tar``."""

from __future__ import annotations

import glob
import itertools
import re

from storage.errors import ClipTableError
from storage.media.addresses import in_bucket
from storage.media.opening import NotFetched, fetching, file_system
from storage.text import visible

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 100_000


def is_pattern(text: str) -> bool:
    """Whether a text may stand for several names."""
    return glob.has_magic(text) or any(_choices(inside) for inside in _BRACES.findall(text))


def named_files(pattern: str) -> list[str]:
    """The files of a pattern, each once: braces in the order in which they are written, wildcards sorted.

    Args:
        pattern: of local paths or of addresses in a bucket. Braces are spelled out as WebDataset does.

    Raises:
        ClipTableError: If there are too many, a wildcard finds nothing, or a bucket cannot be listed.
    """
    found: dict[str, None] = {}
    for text in _spelled_out(pattern):
        if not glob.has_magic(text):
            found[text] = None
            continue
        matches = _in_bucket(text) if in_bucket(text) else sorted(glob.glob(text, recursive=True))  # noqa: PTH207
        if not matches:
            raise ClipTableError(f"{visible(text)}: finds no file")
        found |= dict.fromkeys(matches)
    return list(found)


def _in_bucket(text: str) -> list[str]:
    try:
        files, path = file_system(text)
        with fetching():
            return [str(files.unstrip_protocol(name)) for name in sorted(files.glob(path))]
    except NotFetched as problem:
        raise ClipTableError(f"{visible(text)}: {problem.reason}") from None


def _spelled_out(pattern: str) -> list[str]:
    """A text for each way to choose from its braces."""
    parts: list[list[str]] = []
    number, end = 1, 0
    for match in _BRACES.finditer(pattern):
        if choices := _choices(match[1]):
            parts += [[pattern[end : match.start()]], choices]
            number, end = number * len(choices), match.end()
            if number > _MOST:
                raise ClipTableError(f"{visible(pattern)}: stands for more than {_MOST:,} files")
    parts.append([pattern[end:]])
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def _choices(inside: str) -> list[str]:
    """What a pair of braces stands for; nothing where they are a part of the name."""
    span = _RANGE.fullmatch(inside)
    if span is None:
        return inside.split(",") if "," in inside else []
    first, last = int(span[1]), int(span[2])
    if abs(last - first) >= _MOST:
        raise ClipTableError(f"{{{visible(inside, limit=40)}}}: stands for more than {_MOST:,} files")
    digits = max(len(span[1]), len(span[2])) if "0" in (span[1][0], span[2][0]) else 0
    step = 1 if last >= first else -1
    return [f"{number:0{digits}d}" for number in range(first, last + step, step)]
