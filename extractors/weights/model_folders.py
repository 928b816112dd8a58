"""Models in the format of transformers: a local folder, or a repository of the Hugging Face hub in its cache."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from extractors.weights.cache import TIMEOUT_SECONDS, file_sha256
from storage.errors import WeightsError
from storage.foreign_files import reading, reason_of

CONFIGURATION = "config.json"
PROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
"""Whole, in several files, and as older repositories have them; the first that is there is taken."""

_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


def local_folder(place: str) -> Path | None:
    """The folder that a place names; ``None`` for a repository of the hub.

    Args:
        place: a folder, or ``ORG/MODEL``.

    Raises:
        WeightsError: If it is neither.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        return path
    if path.exists() or place.startswith((".", "~")) or not _REPOSITORY.fullmatch(place):
        raise WeightsError(f"{place!r}: no such folder, nor ORG/MODEL as the Hugging Face hub names models")
    return None


def weights_url(repository: str) -> str:
    """Where a repository of the hub publishes its weights."""
    return f"https://huggingface.co/{repository}/resolve/main/{WEIGHTS[0]}"


def configuration_folder(place: str) -> Path:
    """The folder with a model's ``config.json`` and what its processor is made from.

    A repository's files are fetched once; after that the hub is not asked again.

    Raises:
        WeightsError: If they cannot be had.
    """
    folder = local_folder(place)
    if folder is None:
        folder = _cached_configuration(place) or _fetched_configuration(place)
    if not (folder / CONFIGURATION).is_file():
        raise WeightsError(f"{folder}: holds no {CONFIGURATION}. Expected a model in the format of transformers")
    return folder


def model_type_of(folder: Path) -> str:
    """The ``model_type`` of a folder's ``config.json``.

    Raises:
        WeightsError: If it cannot be read or names none.
    """
    path = folder / CONFIGURATION
    with reading(path, "not a model's configuration", error=WeightsError):
        kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    if not (isinstance(kind, str) and kind):
        raise WeightsError(f"{path}: names no model_type, so transformers cannot tell what network it is of")
    return kind


def find_weights(place: str) -> tuple[Path, str]:
    """The file of a model's weights, fetched once from the hub if that is where they are.

    Returns:
        The file, or the index of several, and the SHA-256 of what it holds.

    Raises:
        WeightsError: If they cannot be had.
    """
    folder = local_folder(place)
    path = _fetched_weights(place) if folder is None else first_in(folder)
    if path is None:
        raise WeightsError(f"{folder}: holds no weights. Expected {', '.join(WEIGHTS)}, or use --weights random:0")
    if path.suffix != ".json":
        return path, file_sha256(path)
    digests = [f"{part.name} {file_sha256(part)}\n" for part in parts_of(path)]
    return path, hashlib.sha256("".join(digests).encode()).hexdigest()


def parts_of(index: Path) -> list[Path]:
    """The files that ``model.safetensors.index.json`` names, beside it.

    Raises:
        WeightsError: If it is malformed, or one is not there.
    """
    with reading(index, "not an index of weights", error=WeightsError):
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        wrong = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
    if wrong or not names:
        raise WeightsError(f"{index}: names {wrong[0]!r}" if wrong else f"{index}: names no files")
    parts = [index.with_name(name) for name in names]
    if missing := [part.name for part in parts if not part.is_file()]:
        raise WeightsError(f"{index}: {missing[0]} is not beside it ({len(missing)} of {len(parts)} are missing)")
    return parts


def first_in(folder: Path) -> Path | None:
    """The file of a folder's weights, one of :data:`WEIGHTS`; ``None`` where there is none."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def _cached_configuration(repository: str) -> Path | None:
    """The snapshot in the hub's cache that has a configuration and a processor's; asks no network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, CONFIGURATION)
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    return folder if any((folder / name).is_file() for name in PROCESSORS) else None


def _fetched_configuration(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(repository, allow_patterns=[CONFIGURATION, *PROCESSORS]))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as problem:
        raise _not_had(repository, problem) from None


def _fetched_weights(repository: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    for name in WEIGHTS:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    try:
        # The hub is asked what there is: a snapshot without a network is whatever the cache holds.
        facts = HfApi().model_info(repository, timeout=TIMEOUT_SECONDS)
        there = {file.rfilename for file in facts.siblings or ()}
        chosen = next((name for name in WEIGHTS if name in there), "")
        if not chosen:
            raise WeightsError(f"{repository!r}: the hub has none of {', '.join(WEIGHTS)}, so its weights are not read")
        wanted = [chosen, "model-*.safetensors"] if chosen.endswith(".json") else [chosen]
        return Path(snapshot_download(repository, allow_patterns=wanted)) / chosen
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as problem:
        raise _not_had(repository, problem) from None


def _not_had(repository: str, problem: Exception) -> WeightsError:
    wanted = f"{CONFIGURATION}, {PROCESSORS[0]} and {WEIGHTS[0]}"
    reason = reason_of(problem).rstrip(".")
    return WeightsError(
        f"{repository!r} cannot be had from the Hugging Face hub: {reason}. Put {wanted} of "
        f"https://huggingface.co/{repository} into a folder and ask for hf:FOLDER"
    )
