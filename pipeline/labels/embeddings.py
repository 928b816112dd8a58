"""Writes embeddings of class names to a store, from an embedder or from a published file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extractors.text import registry as text_registry
from extractors.text.embedder import TextEmbedder
from extractors.weights.cache import file_sha256
from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.datasets.prompt_files import Prompts, default_set, load_prompts, plain_name
from pipeline.extraction.provenance import now, versions
from pipeline.foreign_arrays import read_npz
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.layout.label_schema import LabelEmbeddings, LabelProvenance, LabelSpec

_LIBRARIES = ("avvp-pipeline", "numpy", "zarr")
_IMPORT_VERSION = "1"


def embed_labels(
    embedder: TextEmbedder, dataset: DatasetDescription, prompts: Prompts, *, described: str = ""
) -> LabelEmbeddings:
    """Embed the prompts of every class.

    Args:
        embedder: loaded.
        dataset: whose classes they are.
        prompts: ``[classes][prompts]``; the vectors of several are averaged, and brought to length 1 again where the
            embedder's have length 1.
        described: where the prompts come from, for people.

    Raises:
        InvalidInput: If a prompt cannot be embedded; it is named.
        WeightsError: If the embedder's file is broken.
    """
    flat = [text for texts in prompts for text in texts]
    every = embedder.embed(flat)
    vectors = every.reshape(len(prompts), len(prompts[0]), every.shape[1]).mean(axis=1)
    if embedder.normalised and len(flat) > len(prompts):
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    provenance = LabelProvenance(
        maker=embedder.name,
        code_version=embedder.code_version,
        weights=embedder.weights,
        facts=dict(embedder.facts),
        logit_scale=embedder.logit_scale,
        weights_source=embedder.weights_source,
        libraries=versions((*_LIBRARIES, *(name for name in embedder.libraries if name not in _LIBRARIES))),
        created=now(),
    )
    spec = LabelSpec(embedder.array_name, dataset.name, vectors.shape[1], f"prompts: {described}" if described else "")
    return LabelEmbeddings(spec, provenance, dataset.classes, prompts, np.asarray(vectors, dtype=np.float32))


def make_labels(
    store_url: str | os.PathLike[str],
    *,
    embedder: str,
    dataset: DatasetDescription,
    weights: str = "pretrained",
    prompts: str | None = None,
    options: Mapping[str, str | None] | None = None,
    device: str = "auto",
    rebuild: bool = False,
) -> tuple[LabelEmbeddings, bool]:
    """``avvp labels``: embed the class names of a dataset and put them into a store.

    Args:
        store_url: an existing store.
        embedder: see :func:`extractors.text.registry.create`.
        dataset: its classes are embedded.
        weights: ``pretrained``, ``random:SEED`` or a path.
        prompts: a set or a file, see :func:`load_prompts`; the embedder's usual set if not given.
        options: of the embedder.
        device: ``auto``, ``cpu`` or ``cuda:N``.
        rebuild: replace a group that differs.

    Returns:
        The embeddings, and whether they were written; not so where the same are there.

    Raises:
        AvvpError: If anything that was given cannot be used.
    """
    store = LabelStore.open(store_url)
    chosen = text_registry.create(embedder, options)
    prompt_set = prompts or default_set(chosen.prompts_of, dataset)
    texts = load_prompts(prompt_set, dataset, embedder=chosen.prompts_of)
    chosen.load(weights, device=device)
    labels = embed_labels(chosen, dataset, texts, described=prompt_set)
    return labels, store.write_embeddings(labels, rebuild=rebuild)


def import_labels(
    store_url: str | os.PathLike[str],
    file: str | Path,
    *,
    embedder: str,
    dataset: DatasetDescription,
    rebuild: bool = False,
) -> tuple[LabelEmbeddings, bool]:
    """``avvp labels --import``: put published embeddings into a store.

    Args:
        store_url: an existing store.
        file: ``.npz`` with ``embeddings [classes, dim]``, ``classes`` and, if it has them, ``phrases``, in any order of
            classes; a class may be written as the dataset has it, in plain words, or as LEAP's phrase.
        embedder: what they are of; the name of the group.
        dataset: its classes must be those of the file.
        rebuild: replace a group that differs.

    Returns:
        As :func:`make_labels`.

    Raises:
        InvalidInput: If the file is malformed, or lacks a class or has one that the dataset lacks.
    """
    store = LabelStore.open(store_url)
    chosen = text_registry.create(embedder)
    path = Path(file).expanduser()
    vectors, prompts = read_label_file(path, dataset)
    libraries = versions(_LIBRARIES)
    labels = LabelEmbeddings(
        LabelSpec(chosen.array_name, dataset.name, vectors.shape[1], f"imported from {path.name}"),
        LabelProvenance(
            embedder,
            _IMPORT_VERSION,
            f"sha256:{file_sha256(path)}",
            {"imported": True},
            None,
            str(file),
            libraries,
            now(),
        ),
        dataset.classes,
        prompts,
        vectors,
    )
    return labels, store.write_embeddings(labels, rebuild=rebuild)


def read_label_file(path: Path, dataset: DatasetDescription) -> tuple[NDArray[np.float32], Prompts]:
    """Published embeddings and their phrases in the order of a dataset's classes, see :func:`import_labels`.

    Raises:
        InvalidInput: If the file is malformed, or lacks a class or has one that the dataset lacks.
    """
    vectors, names, phrases = _read_published(path)
    rows = _rows_of(path, names, dataset)
    return vectors[rows], tuple((phrases[row],) for row in rows)


def _read_published(path: Path) -> tuple[NDArray[np.float32], list[str], list[str]]:
    found = read_npz(path, "not a .npz file of embeddings")
    if missing := [name for name in ("embeddings", "classes") if name not in found]:
        raise InvalidInput(f"{path}: lacks the array {missing[0]!r}; it has {', '.join(found) or 'none'}")
    vectors, names = found["embeddings"], [str(name) for name in found["classes"].ravel()]
    phrases = [str(phrase) for phrase in found.get("phrases", found["classes"]).ravel()]
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not len(vectors) == len(names) == len(phrases):
        raise InvalidInput(
            f"{path}: expected embeddings [classes, dim] with as many classes and phrases, got "
            f"{vectors.dtype} {list(vectors.shape)}, {len(names)} and {len(phrases)}"
        )
    if not np.isfinite(vectors).all():
        raise InvalidInput(f"{path}: embeddings hold values that are not finite")
    return vectors.astype(np.float32), names, phrases


def _rows_of(path: Path, names: Sequence[str], dataset: DatasetDescription) -> list[int]:
    """The file's row of each class of the dataset."""
    spellings = {name: name for name in dataset.classes} | {plain_name(name): name for name in dataset.classes}
    if default_set("glove", dataset) == "leap":
        leap = load_prompts("leap", dataset, embedder="glove")
        spellings |= {phrase: name for (phrase,), name in zip(leap, dataset.classes, strict=True)}
    if unknown := [name for name in names if name not in spellings]:
        raise InvalidInput(f"{path}: class {unknown[0]!r} is none of the {len(dataset.classes)} of {dataset.name}")
    row_of = {spellings[name]: row for row, name in enumerate(names)}
    if missing := [name for name in dataset.classes if name not in row_of]:
        raise InvalidInput(f"{path}: lacks class {missing[0]!r} of {dataset.name} ({len(row_of)} classes are there)")
    if len(row_of) != len(names):
        raise InvalidInput(f"{path}: has {len(names)} rows for {len(row_of)} classes")
    return [row_of[name] for name in dataset.classes]
