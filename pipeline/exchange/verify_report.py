"""Findings of a verification."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from storage.errors import StoreError
from storage.files.root import Root
from storage.shards.direct import DirectArray

_RUN_VERIFY = " Run: avvp verify --deep"
Remedy = Literal["restore", "reseal", "redo", "none"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        where: the array or part of the store, e.g. ``features/resnet152``.
        file: key of the file.
        cause: what is wrong, in words.
        clips: ids of the clips that it concerns; empty for all of the shard, or none.
        shard: number, where it concerns one.
        rows: row numbers of ``clips``.
        remedy: ``restore`` metadata from its seal, ``reseal`` intact metadata, ``redo`` rows, or ``none``.
    """

    where: str
    file: str
    cause: str
    clips: tuple[str, ...] = ()
    shard: int | None = None
    rows: tuple[int, ...] = ()
    remedy: Remedy = "none"

    def __str__(self) -> str:
        clips = f" [{', '.join(self.clips[:3])}{' …' if len(self.clips) > 3 else ''}]" if self.clips else ""
        return f"{self.where}{clips}: {self.file}: {self.cause}"


@dataclass
class VerifyReport:
    """What was found.

    Attributes:
        store: its address.
        deep: whether every byte was read.
        problems: what is wrong.
        notes: what is not wrong, but good to know: leftovers of killed writes, files of others.
        files: how many were looked at.
        bytes_read: in all.
    """

    store: str
    deep: bool
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0
    bytes_read: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Looked:
    """Files of the store, and which of them something vouches for."""

    def __init__(self, root: Root, report: VerifyReport, sizes: dict[str, int]) -> None:
        self.root = root
        self.report = report
        self.sizes = sizes
        self.known: set[str] = set()
        self._arrays: dict[str, DirectArray] = {}

    def differs(self, key: str, expected: dict[str, Any], *, content: bool) -> str:
        """What is wrong with a file, in words; empty if nothing is. Marks it as known."""
        self.known.add(key)
        size = self.sizes.get(key)
        if size is None:
            return "is missing"
        if size != expected["bytes"]:
            return f"has {size} bytes, was written with {expected['bytes']}"
        if not content:
            return self._exchanged(key, expected) if "rows" in expected else ""
        found = self.root.bytes_and_crc32(key)
        self.report.bytes_read += size
        if found is None or found[1] != expected["crc32"]:
            got = "nothing" if found is None else f"{found[1]:08x}"
            return f"crc32 of its bytes is {got}, was written with {expected['crc32']:08x}"
        return ""

    def _exchanged(self, key: str, expected: dict[str, Any]) -> str:
        """Whether a shard is another one of the same size, by a few bytes of it."""
        path, _, place = key.partition("/c/")
        try:
            array = self._arrays.setdefault(path, DirectArray(self.root, path))
            another = array.is_another(int(place.split("/")[0]), expected)
        except StoreError as problem:
            return str(problem)
        return "holds other rows than were written: it was exchanged or is an older version" if another else ""

    def say(self, problem: Problem) -> None:
        """Note a problem, without the advice to run what is running."""
        cause = problem.cause.removesuffix(_RUN_VERIFY)
        self.report.problems.append(replace(problem, cause=cause))
