"""Made-up label embeddings, and the directions of classes among features, which may follow them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.extraction.provenance import now
from storage.errors import InvalidInput
from storage.layout.label_schema import LabelEmbeddings, LabelProvenance, LabelSpec
from storage.tables.llp_names import LLP_CLASSES

LABEL_DIM = 300
KINDS = {
    "voices": ("Speech", "Singing", "Cheering", "Clapping", "Baby_laughter", "Baby_cry_infant_cry"),
    "animals": ("Dog", "Cat", "Chicken_rooster"),
    "vehicles": ("Car", "Motorcycle", "Helicopter"),
    "music": ("Cello", "Banjo", "Violin_fiddle", "Accordion", "Acoustic_guitar"),
    "tools": ("Chainsaw", "Lawn_mower", "Vacuum_cleaner", "Blender", "Frying_(food)"),
    "signals": ("Fire_alarm", "Telephone_bell_ringing", "Basketball_bounce"),
}
"""LLP's classes by what they are, for embeddings in which those of a kind are near each other."""

Floats = NDArray[np.float32]


def made_up_embeddings(classes: tuple[str, ...], seed: int) -> LabelEmbeddings:
    """Random vectors in place of GloVe's."""
    vectors = np.random.default_rng([seed, LABEL_DIM]).standard_normal((len(classes), LABEL_DIM)) / 3
    return _embeddings(classes, vectors, f"random:{seed}", "made-up vectors in place of GloVe's")


def embeddings_by_kind(seed: int) -> LabelEmbeddings:
    """Vectors of LLP's classes that share a half within each of :data:`KINDS`, as words of a kind do in GloVe."""
    random = np.random.default_rng([seed, LABEL_DIM, len(KINDS)])
    shared = {kind: random.standard_normal(LABEL_DIM) for kind in KINDS}
    kind_of = {name: kind for kind, names in KINDS.items() for name in names}
    rows = [shared[kind_of[name]] + random.standard_normal(LABEL_DIM) for name in LLP_CLASSES]
    vectors = np.stack(rows) / (3 * np.sqrt(2))
    return _embeddings(LLP_CLASSES, vectors, f"kinds:{seed}", "made-up vectors, near each other within a kind")


def class_directions(dim: int, seed: int, embeddings: Floats | None = None) -> Floats:
    """One direction a class among features, with values of standard deviation 1.

    Args:
        dim: of the features.
        seed: same seed, same directions.
        embeddings: ``[classes, label dim]`` to follow: each direction is a fixed random linear map of the class's
            embedding at unit length, so that angles between classes are about those between their embeddings. ``None``
            draws each for itself.

    Returns:
        ``[classes, dim]``.

    Raises:
        InvalidInput: If an embedding is zero or there is not one a class.
    """
    if embeddings is None:
        return np.random.default_rng([seed, dim]).standard_normal((len(LLP_CLASSES), dim)).astype(np.float32)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if len(embeddings) != len(LLP_CLASSES) or not lengths.all():
        raise InvalidInput(
            f"label geometry: expected {len(LLP_CLASSES)} embeddings, none of them zero; got {len(embeddings)}, of "
            f"which {int((lengths == 0).sum())} are zero"
        )
    mapping = np.random.default_rng([seed, dim, LABEL_DIM]).standard_normal((embeddings.shape[1], dim))
    directions: Floats = (embeddings / lengths @ mapping).astype(np.float32)
    return directions


def _embeddings(classes: tuple[str, ...], vectors: NDArray[np.float64], origin: str, described: str) -> LabelEmbeddings:
    spec = LabelSpec("glove", "synthetic", LABEL_DIM, described)
    provenance = LabelProvenance("synthetic", "1", origin, created=now())
    return LabelEmbeddings(spec, provenance, classes, tuple((name,) for name in classes), vectors.astype(np.float32))
