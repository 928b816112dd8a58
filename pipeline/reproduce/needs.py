"""What an item needs in a store, and what a store lacks of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.recipes.recipe import Recipe
from pipeline.training.run_record import LEARNABLE
from pipeline.training.run_setup import reads_labels
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.store import FeatureStore


@dataclass(frozen=True)
class Needs:
    """Names in a store, sorted.

    Attributes:
        arrays: features.
        labels: label embeddings.
        pseudo_labels: of a teacher.
    """

    arrays: tuple[str, ...]
    labels: tuple[str, ...]
    pseudo_labels: tuple[str, ...]

    def __str__(self) -> str:
        groups = [f"labels/{name}" for name in self.labels]
        groups += [f"pseudo_labels/{name}" for name in self.pseudo_labels]
        return ", ".join([*self.arrays, *groups]) or "nothing"


def needs_of(recipes: Iterable[Recipe]) -> Needs:
    """What the recipes read."""
    arrays, labels, pseudo = set[str](), set[str](), set[str]()
    for recipe in recipes:
        arrays |= set(recipe.features.streams().values())
        if reads_labels(recipe) and recipe.features.labels != LEARNABLE:
            labels.add(recipe.features.labels)
        if recipe.features.pseudo_labels:
            pseudo.add(recipe.features.pseudo_labels)
    return Needs(tuple(sorted(arrays)), tuple(sorted(labels)), tuple(sorted(pseudo)))


def check_store(store: FeatureStore, needs: Needs, *, asker: str) -> None:
    """Raise InvalidInput if a store lacks any of it; the message names all of it, and how to make it.

    Args:
        store: to train on.
        needs: see :func:`needs_of`.
        asker: for the message.
    """
    found = LabelStore.open(store.url)
    remedies = {
        "extract or import the arrays (avvp extract, avvp import)": set(needs.arrays) - set(store.features),
        "avvp labels makes labels": {f"labels/{name}" for name in set(needs.labels) - set(found.embedders)},
        "avvp pseudo-labels makes pseudo labels": {
            f"pseudo_labels/{name}" for name in set(needs.pseudo_labels) - set(found.teachers)
        },
    }
    lacking = {remedy: sorted(names) for remedy, names in remedies.items() if names}
    if lacking:
        names = ", ".join(name for group in lacking.values() for name in group)
        raise InvalidInput(f"{store.url}: {asker} needs {names}, which are not there: {'; '.join(lacking)}")
