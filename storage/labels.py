"""Labels in a store: ``labels/<embedder>`` and ``pseudo_labels/<teacher>``.

One writer writes a whole group under a lock: first the arrays, then the attributes. A group without attributes does not
exist for readers, so they do not see what a killed writer leaves. zarr-python reads everything here.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from storage.errors import InvalidInput, SchemaMismatch, StoreError
from storage.files.opening import open_root
from storage.files.root import Root
from storage.layout.arrays import group_bytes
from storage.layout.catalog import read_attributes
from storage.layout.creation import steady_length
from storage.layout.label_schema import (
    LABEL_GROUPS,
    PSEUDO_LOGITS,
    LabelEmbeddings,
    LabelProvenance,
    LabelSpec,
    PseudoLabels,
    class_difference,
)
from storage.layout.metadata import StoreInfo, no_store, read_info
from storage.shards.codec import codecs
from storage.shards.seal import Seal

EMBEDDINGS, PSEUDO_LABELS = "labels", "pseudo_labels"
LOCK_PATIENCE_SECONDS = 60.0
_CHUNK_CLIPS = 1024
_AXES = {"vectors": ("classes", "dim"), "classes": ("classes",), "prompts": ("classes", "texts"), "known": ("clips",)}
_AXES |= {"audio_ratio": ("classes",), "visual_ratio": ("classes",)}
_CLIP_AXES = ("clips", "segments", "classes")


class LabelStore:
    """The labels of an existing store.

    Args:
        root: the store's folder.
        info: the attributes of the root.
    """

    def __init__(self, root: Root, info: StoreInfo) -> None:
        self.root = root
        self.url = root.url
        self.info = info

    @classmethod
    def open(cls, url: str | os.PathLike[str]) -> LabelStore:
        """Open the labels of an existing store.

        Raises:
            StoreError: If there is no store, or its schema version is another one.
        """
        root = open_root(url)
        info = read_info(root)
        if info is None:
            raise no_store(root)
        return cls(root, info)

    @property
    def embedders(self) -> tuple[str, ...]:
        """Names of the label embeddings, sorted."""
        return self.groups(EMBEDDINGS)

    @property
    def teachers(self) -> tuple[str, ...]:
        """Names of the pseudo labels, sorted."""
        return self.groups(PSEUDO_LABELS)

    def read_embeddings(self, name: str, *, classes: Sequence[str] | None = None) -> LabelEmbeddings:
        """Embeddings of class names.

        Args:
            name: of the group.
            classes: what the reader takes the classes to be.

        Raises:
            StoreError: If the store has none of that name.
            SchemaMismatch: If its classes are others.
        """
        attributes = self.attributes_of(EMBEDDINGS, name, f"avvp labels --store {self.url} --embedder {name}")
        path = f"{EMBEDDINGS}/{name}"
        stored = self.classes_of(path, classes)
        prompts = tuple(tuple(map(str, row)) for row in self.read_array(f"{path}/prompts").tolist())
        spec, provenance = (
            LabelSpec.from_json(attributes["spec"]),
            LabelProvenance.from_json(attributes["provenance"]),
        )
        return LabelEmbeddings(spec, provenance, stored, prompts, self.read_array(f"{path}/vectors"))

    def read_pseudo_labels(self, teacher: str, *, classes: Sequence[str] | None = None) -> PseudoLabels:
        """Pseudo labels of all clips; row ``i`` is clip ``i``.

        Args:
            teacher: name of the group.
            classes: what the reader takes the classes to be.

        Raises:
            StoreError: If the store has none of that name.
            SchemaMismatch: If its classes are others.
        """
        attributes = self.attributes_of(
            PSEUDO_LABELS, teacher, f"avvp pseudo-labels --store {self.url} --teacher {teacher}"
        )
        path = f"{PSEUDO_LABELS}/{teacher}"
        return PseudoLabels(
            teacher,
            LabelProvenance.from_json(attributes["provenance"]),
            self.classes_of(path, classes),
            *(self._rows_of(f"{path}/{part}") for part in ("audio", "visual", "known")),
            **{part: self._rows_of(f"{path}/{part}") for part in PSEUDO_LOGITS if attributes["has_logits"]},
        )

    def write_embeddings(self, labels: LabelEmbeddings, *, rebuild: bool = False) -> bool:
        """Write a group of label embeddings.

        Args:
            labels: the group.
            rebuild: replace a group that differs.

        Returns:
            Whether anything was written: false if the same group exists.

        Raises:
            InvalidInput: If the shapes do not fit each other.
            SchemaMismatch: If the existing group differs and may not be replaced, or other labels of this store are for
                other classes.
        """
        count, vectors = len(labels.classes), np.asarray(labels.vectors, dtype=np.float32)
        prompts = np.array(labels.prompts, dtype=object) if len(set(map(len, labels.prompts))) == 1 else np.empty(0)
        if vectors.shape != (count, labels.spec.dim) or prompts.ndim != 2 or len(prompts) != count:
            raise InvalidInput(
                f"labels/{labels.spec.name}: expected vectors [{count}, {labels.spec.dim}] and as many prompts for "
                f"each class, got vectors {list(vectors.shape)} and prompts {list(prompts.shape)}"
            )
        if not np.isfinite(vectors).all():
            raise InvalidInput(f"labels/{labels.spec.name}: vectors hold values that are not finite")
        arrays = {"vectors": vectors, "classes": np.array(labels.classes, dtype=object), "prompts": prompts}
        attributes = {"spec": labels.spec.to_json(), "provenance": labels.provenance.to_json()}
        return self.write_group(f"{EMBEDDINGS}/{labels.spec.name}", arrays, attributes, rebuild=rebuild)

    def write_pseudo_labels(self, labels: PseudoLabels, *, rebuild: bool = False) -> bool:
        """Write a teacher's pseudo labels; see :meth:`write_embeddings`.

        Raises:
            SchemaMismatch: Also if the store has grown since it was opened.
        """
        arrays = labels.arrays(clips=self.info.clips)
        attributes = {"provenance": labels.provenance.to_json(), "has_logits": PSEUDO_LOGITS[0] in arrays}
        with steady_length(self.root) as clips:
            if clips != self.info.clips:
                raise SchemaMismatch(
                    f"{self.url}: has grown from {self.info.clips} to {clips} clips meanwhile. Run the command again"
                )
            return self.write_group(f"{PSEUDO_LABELS}/{labels.teacher}", arrays, attributes, rebuild=rebuild)

    def groups(self, kind: str) -> tuple[str, ...]:
        """Names of the groups of a kind, sorted."""
        return tuple(name for name in self.root.names(kind) if read_attributes(self.root, f"{kind}/{name}"))

    def attributes_of(self, kind: str, name: str, remedy: str) -> Mapping[str, Any]:
        """The attributes of a group; StoreError with the remedy if there is none."""
        attributes = read_attributes(self.root, f"{kind}/{name}")
        if not attributes:
            there = ", ".join(self.groups(kind)) or "none yet"
            raise StoreError(f"{self.url}: no {kind} {name!r}; there are {there}. Make them: {remedy}")
        return attributes

    def read_array(self, path: str) -> NDArray[Any]:
        """All of an array, by its path; StoreError if it is damaged."""
        try:
            array = zarr.open_array(self.root.zarr_store(read_only=True), path=path, mode="r")
        except (FileNotFoundError, ValueError, KeyError, TypeError) as problem:  # zarr's, over damaged metadata
            raise StoreError(f"{self.url}: {path} is missing or damaged; write the group again") from problem
        return np.asarray(array[...])

    def _rows_of(self, path: str) -> NDArray[Any]:
        """The rows of this store's clips: an append that was killed may have left more."""
        return self.read_array(path)[: self.info.clips]

    def classes_of(self, path: str, expected: Sequence[str] | None) -> tuple[str, ...]:
        """The classes of a group; SchemaMismatch if others are expected."""
        stored = tuple(map(str, self.read_array(f"{path}/classes").tolist()))
        if expected is not None and stored != tuple(expected):
            raise SchemaMismatch(f"{self.url}: {path} {class_difference(stored, expected)}")
        return stored

    def write_group(
        self, path: str, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any], *, rebuild: bool
    ) -> bool:
        """Write a group as :meth:`write_embeddings` does: arrays by name, ``classes`` among them."""
        if not re.fullmatch(r"[A-Za-z0-9._-]+", path.partition("/")[2]):
            raise InvalidInput(f"{path}: a group's name has letters, digits, '.', '_' and '-' only")
        ledger = f"ledger/{path.replace('/', '.', 1)}"
        with self.root.lock(f"{ledger}.lock", patience_seconds=LOCK_PATIENCE_SECONDS):
            self._check_other_classes(path, arrays["classes"].tolist())
            there = read_attributes(self.root, path)
            if there:
                differences = self._differences(path, there, arrays, attributes)
                if not differences:
                    return False
                if not rebuild:
                    raise SchemaMismatch(f"{self.url}: {path} has {'; '.join(differences)}. Replace it: add --rebuild")
            # Attributes are removed first and put last: without them the group does not exist for readers.
            self.root.remove(f"{path}/zarr.json")
            self.root.remove(path)
            kind = path.partition("/")[0]
            if self.root.read(f"{kind}/zarr.json") is None:
                self.root.put(f"{kind}/zarr.json", group_bytes())
            for name, array in arrays.items():
                self._put_array(f"{path}/{name}", array)
            body, group = group_bytes(attributes), f"{path}/zarr.json"
            made = [key for key, _ in self.root.walk(path) if key != group]
            Seal.of(self.root, made, {group: body}).put(self.root, ledger)
            self.root.put(group, body)
        return True

    def _check_other_classes(self, path: str, classes: Sequence[str]) -> None:
        """All labels of a store are for the same classes."""
        for kind in LABEL_GROUPS:
            for name in self.groups(kind):
                if f"{kind}/{name}" != path:
                    stored = self.classes_of(f"{kind}/{name}", None)
                    if stored != tuple(classes):
                        raise SchemaMismatch(f"{self.url}: {kind}/{name} {class_difference(stored, classes)}")

    def _differences(
        self, path: str, there: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]
    ) -> list[str]:
        """What differs between the existing group and the new one, in words."""
        old, new = (LabelProvenance.from_json(one["provenance"]).identity() for one in (there, attributes))
        old, new = ({**one.pop("facts"), **one} for one in (old, new))
        keys = dict.fromkeys([*old, *new])
        found = [
            f"{key} {_short(old.get(key))}, now it is {_short(new.get(key))}"
            for key in keys
            if old.get(key) != new.get(key)
        ]
        if found:
            return found
        if there.get("has_logits") != attributes.get("has_logits"):
            return ["logits" if there["has_logits"] else "no logits"]
        return [f"other {name}" for name, array in arrays.items() if not self._same(f"{path}/{name}", array)]

    def _same(self, path: str, array: NDArray[Any]) -> bool:
        stored = self.read_array(path)
        if stored.shape != array.shape or array.dtype.kind != "f":
            return stored.shape == array.shape and bool((stored == array).all())
        return bool(np.allclose(stored, array, rtol=1e-5, atol=1e-5, equal_nan=True))

    def _put_array(self, path: str, values: NDArray[Any]) -> None:
        """Create, fill and fsync an array. Its chunks are cut along the first axis only."""
        chunks = (min(len(values), _CHUNK_CLIPS), *values.shape[1:])
        fill: Any = {"f": np.nan, "O": "", "b": False}.get(values.dtype.kind, 0)
        array = zarr.create_array(
            self.root.zarr_store(read_only=False),
            name=path,
            shape=values.shape,
            chunks=chunks,
            dtype=str if values.dtype.kind == "O" else values.dtype,
            dimension_names=_AXES.get(path.rpartition("/")[2], _CLIP_AXES),
            fill_value=fill,
            compressors=codecs(),
            overwrite=True,
            config={"write_empty_chunks": True},
        )
        array[...] = values
        for chunk in range(math.ceil(len(values) / chunks[0])):
            self.root.sync("/".join([path, "c", str(chunk), *["0"] * (values.ndim - 1)]))
        self.root.sync(f"{path}/zarr.json")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
