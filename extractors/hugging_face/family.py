"""``hf:ORG/MODEL`` and ``hf:FOLDER``: models of transformers that say in their configuration what they need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from extractors.base import Extractor
from extractors.family import Family, FoundBackbone, matches
from extractors.hugging_face.backbones import Model, ModelOfFrames, ModelOfSeconds, ModelOfSound
from extractors.hugging_face.sound_types import MODEL_TYPES
from extractors.weights.inventory import model_files
from extractors.weights.model_folders import configuration_folder, model_type_of
from storage.errors import UnknownBackbone, WeightsError

KNOWN = Path(__file__).with_name("known_models.json")
"""Some of the models on the hub whose ``model_type`` is offered, for searches without a network."""

_CLASSES: dict[str, Any] = {"frame": ModelOfFrames, "frames": ModelOfSeconds, "sound": ModelOfSound}


class HuggingFace(Family):
    """Models of transformers, by their names on the hub or by a folder in its format.

    A repository's ``config.json`` is fetched when it is named for the first time. No code of a repository is run.
    """

    form: ClassVar[str] = "hf:ORG/MODEL or hf:FOLDER, e.g. hf:facebook/dinov2-base"

    def create(self, name: str, variant: str, *, clip_seconds: int, frames_per_second: int | None) -> Extractor:
        """See :meth:`Family.create`. Fetches a repository's configuration if it is not in the hub's cache.

        Raises:
            WeightsError: If the configuration cannot be had; it says what to download and where to put it.
        """
        model = find_model(name, variant)
        if frames_per_second is not None and model.kind.sees == "sound":
            raise UnknownBackbone(f"backbone {name!r}: sound has no frame rate; leave @{frames_per_second}fps out")
        made: Extractor = _CLASSES[model.kind.sees](
            model=model, name=name, variant=variant, clip_seconds=clip_seconds, frames_per_second=frames_per_second
        )
        return made

    def search(self, pattern: str) -> list[FoundBackbone]:
        """Well-known models, and those in the hub's cache. Asks no network."""
        known: dict[str, list[str]] = json.loads(KNOWN.read_text(encoding="utf-8"))
        names = {name: kind for kind, of_kind in known.items() for name in of_kind} | _cached_models()
        found = []
        for name, kind in names.items():
            for part, how in MODEL_TYPES[kind].items():
                full = f"{name}:{part}" if part else name
                if matches(full, pattern):
                    found.append(FoundBackbone.with_files(f"hf:{full}", how.modality, model_files(name)[-1:]))
        return sorted(found, key=lambda one: one.name)


def find_model(name: str, variant: str) -> Model:
    """The model and the output that a name asks for.

    Args:
        name: as it was asked for, for errors.
        variant: ``ORG/MODEL`` or a folder, and perhaps ``:PART`` or ``:OUTPUT``.

    Raises:
        UnknownBackbone: If the model is of a type that is not offered, or has no such output.
        WeightsError: If its configuration cannot be had.
    """
    place, _, asked = (variant, "", "") if Path(variant).is_dir() else variant.partition(":")
    folder = configuration_folder(place)
    model_type = model_type_of(folder)
    if model_type not in MODEL_TYPES:
        raise UnknownBackbone(
            f"backbone {name!r}: its config.json has the model_type {model_type!r}, which is not offered. Offered: "
            f"{', '.join(sorted(MODEL_TYPES))}"
        )
    parts = MODEL_TYPES[model_type]
    choices = {
        ":".join(filter(None, (part, output))): (kind, output)
        for part, kind in parts.items()
        for output in kind.outputs
    }
    choices |= {part: (kind, next(iter(kind.outputs))) for part, kind in parts.items()}
    if asked not in choices:
        offered = ", ".join(f"hf:{place}:{choice}" if choice else f"hf:{place}" for choice in sorted(choices))
        raise UnknownBackbone(f"backbone {name!r}: {model_type} has no {asked!r}. Choose from: {offered}")
    kind, output = choices[asked]
    return Model(place, folder, model_type, kind, output)


def _cached_models() -> dict[str, str]:
    """Repositories in the hub's cache whose type is offered, by name."""
    from huggingface_hub import constants

    found = {}
    for folder in Path(constants.HF_HUB_CACHE).glob("models--*--*"):
        name = folder.name.removeprefix("models--").replace("--", "/", 1)
        for config in folder.glob("snapshots/*/config.json"):
            try:
                kind = model_type_of(config.parent)
            except WeightsError:
                continue
            if kind in MODEL_TYPES:
                found[name] = kind
    return found
