"""Reads the label embeddings that made-up features are to follow."""

from __future__ import annotations

from pathlib import Path

from extractors.weights.cache import file_sha256
from pipeline.datasets.dataset_description import load_description
from pipeline.extraction.provenance import now
from pipeline.labels.embeddings import read_label_file
from pipeline.synthetic.label_directions import embeddings_by_kind
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.layout.label_schema import LabelEmbeddings, LabelProvenance, LabelSpec
from storage.tables.llp_names import LLP_CLASSES

BY_KIND, GROUP = "kinds", "glove"


def read_label_geometry(source: str, *, seed: int = 0) -> LabelEmbeddings:
    """Embeddings of LLP's classes.

    Args:
        source: ``kinds`` for made-up ones, near each other within a kind; a ``.npz`` as ``avvp labels --import`` takes
            it; or a store with ``labels/glove``.
        seed: of made-up ones.

    Raises:
        AvvpError: If there is no such file or store, or it holds no embeddings of LLP's classes.
    """
    if source == BY_KIND:
        return embeddings_by_kind(seed)
    path = Path(source).expanduser()
    if path.is_dir() or "://" in source:
        return LabelStore.open(source).read_embeddings(GROUP, classes=LLP_CLASSES)
    if not path.is_file():
        raise InvalidInput(f"--label-geometry {source}: expected {BY_KIND}, a .npz of label embeddings or a store")
    vectors, prompts = read_label_file(path, load_description("llp"))
    spec = LabelSpec(GROUP, "llp", vectors.shape[1], f"read from {path.name}")
    origin = LabelProvenance("imported", "1", f"sha256:{file_sha256(path)}", weights_source=source, created=now())
    return LabelEmbeddings(spec, origin, LLP_CLASSES, prompts, vectors)
