"""Lists what a store must hold before a recipe can be trained on it."""

from __future__ import annotations

from dataclasses import dataclass

from extractors import registry
from pipeline.recipes.recipe import FeaturesRecipe
from storage.errors import InvalidInput

TEACHER_BACKBONES = ("clip_vit_l14", "clap")
TEACHER_EMBEDDERS = ("clip", "clap")


@dataclass(frozen=True)
class Needs:
    """What has to be made for a recipe.

    Attributes:
        backbones: to extract.
        embedders: of label embeddings.
        pseudo_labels: the teacher's name, or empty.
    """

    backbones: tuple[str, ...]
    embedders: tuple[str, ...]
    pseudo_labels: str


def needs_of(features: FeaturesRecipe, *, clip_seconds: int) -> Needs:
    """What a recipe reads, and what that is made from.

    Raises:
        InvalidInput: If no backbone gives one of its arrays.
    """
    arrays = [name for name in (features.audio, features.visual_2d, features.visual_3d) if name]
    backbones = [_backbone_of(array, clip_seconds=clip_seconds) for array in arrays]
    embedders = [features.labels] if features.labels else []
    if features.pseudo_labels:
        backbones += TEACHER_BACKBONES
        embedders += TEACHER_EMBEDDERS
    return Needs(tuple(dict.fromkeys(backbones)), tuple(dict.fromkeys(embedders)), features.pseudo_labels)


def _backbone_of(array: str, *, clip_seconds: int) -> str:
    for name in registry.names():
        if array in [spec.name for spec in registry.create(name, clip_seconds=clip_seconds).specs]:
            return name
    raise InvalidInput(f"no backbone gives the array {array!r}: extract it first, and run the steps one by one")
