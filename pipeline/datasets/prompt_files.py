"""What is said of each class to a text embedder: prompts by class, shipped for LLP or read from a file."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.datasets.dataset_description import DatasetDescription, read_text
from pipeline.toml_tables import parse_toml
from storage.errors import InvalidInput

PROMPT_SETS = ("names", "leap", "valor")
"""Sets by name. ``names`` there is for every dataset."""

DEFAULT_SETS = {"glove": "leap", "bert": "leap", "clip": "valor", "clap": "valor"}
"""The set that each embedder takes for LLP."""

Prompts = tuple[tuple[str, ...], ...]


def load_prompts(name_or_file: str | Path, dataset: DatasetDescription, *, embedder: str) -> Prompts:
    """Prompts of every class, in the dataset's order.

    Args:
        name_or_file: one of :data:`PROMPT_SETS`, or a TOML file with a table ``[prompts]`` of a text or a list of texts
            for each class, or a list ``templates`` in which ``{}`` is the plain class name.
        dataset: whose classes they are.
        embedder: base name; VALOR's captions are others for CLIP and for CLAP.

    Returns:
        ``[classes][prompts]``, as many for each class.

    Raises:
        InvalidInput: If there is no such set for this dataset, or the file lacks a class, has one that the dataset
            lacks, or is malformed.
    """
    text = str(name_or_file)
    if text in PROMPT_SETS:
        file = f"{dataset.name}_{text}_{embedder}.toml" if text == "valor" else f"{dataset.name}_{text}.toml"
        shipped = importlib.resources.files("pipeline.datasets") / "prompts" / file
        if shipped.is_file():
            return _from_toml(shipped.read_text(encoding="utf-8"), dataset, source=file)
        if text == "names":
            return tuple((plain_name(name),) for name in dataset.classes)
        raise InvalidInput(
            f"--prompts {text}: none are shipped for {embedder} and {dataset.name}. Give names, or a file"
        )
    path = Path(name_or_file).expanduser()
    if not path.is_file():
        raise InvalidInput(f"--prompts {text}: no such file. Give a TOML file, or one of: {', '.join(PROMPT_SETS)}")
    return _from_toml(read_text(path), dataset, source=text)


def default_set(embedder: str, dataset: DatasetDescription) -> str:
    """The set that an embedder takes where none is asked for; plain names where that set is not shipped."""
    chosen = DEFAULT_SETS.get(embedder, "names")
    folder = importlib.resources.files("pipeline.datasets") / "prompts"
    return chosen if any(entry.name.startswith(f"{dataset.name}_{chosen}") for entry in folder.iterdir()) else "names"


def plain_name(name: str) -> str:
    """A class name as words: ``Frying_(food)`` is ``Frying food``."""
    return " ".join(re.sub(r"[_()]+", " ", name).split())


def by_class(table: Mapping[str, Any], dataset: DatasetDescription, *, source: str, what: str) -> list[Any]:
    """The values of a table keyed by class, in the dataset's order.

    Raises:
        InvalidInput: If it lacks a class, or has one that the dataset lacks.
    """
    if unknown := [name for name in table if name not in dataset.classes]:
        raise InvalidInput(f"{source}: {what} name class {unknown[0]!r}, which {dataset.name} lacks")
    if missing := [name for name in dataset.classes if name not in table]:
        raise InvalidInput(
            f"{source}: {what} lack class {missing[0]!r} ({len(table)} of {len(dataset.classes)} classes)"
        )
    return [table[name] for name in dataset.classes]


def _from_toml(text: str, dataset: DatasetDescription, *, source: str) -> Prompts:
    data = parse_toml(text, source=source)
    if set(data) == {"templates"} and _texts(data["templates"]):
        templates = _texts(data["templates"])
        if bad := [template for template in templates if template.count("{}") != 1]:
            raise InvalidInput(f"{source}: template {bad[0]!r} must have {{}} once, where the class name goes")
        return tuple(
            tuple(template.replace("{}", plain_name(name)) for template in templates) for name in dataset.classes
        )
    if set(data) != {"prompts"} or not isinstance(data["prompts"], Mapping):
        raise InvalidInput(f"{source}: expected a table [prompts] or a list templates, got {sorted(data)}")
    prompts = tuple(_texts(value) for value in by_class(data["prompts"], dataset, source=source, what="prompts"))
    for name, texts in zip(dataset.classes, prompts, strict=True):
        if not texts or len(texts) != len(prompts[0]):
            raise InvalidInput(f"{source}: {name!r} must have texts, as many as {dataset.classes[0]!r}")
    return prompts


def _texts(value: Any) -> tuple[str, ...]:
    """A text or a list of texts; empty where it is neither."""
    texts = [value] if isinstance(value, str) else value
    good = isinstance(texts, list) and all(isinstance(text, str) and text.strip() for text in texts)
    return tuple(texts) if good else ()
