"""Seals: sizes, checksums and, if small, contents of files that are written once.

``ledger/seal.json`` seals the root and the clip table, ``ledger/<array>/seal.json`` the metadata of an array. With them
``avvp verify`` checks every byte of a store and restores damaged metadata.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from storage.errors import StoreError
from storage.files.checked_json import pack, unpack
from storage.files.root import Root, crc32_of

SEAL = "seal.json"
_KEPT_BYTES = 4 << 20
"""Files up to this size are kept in the seal itself. LLP's clip table takes a tenth of it."""


@dataclass(frozen=True)
class Seal:
    """The sealed files of a store or an array.

    Attributes:
        files: by key: ``bytes``, ``crc32``, and the ``text`` of metadata or the ``base64`` of other small files.
    """

    files: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, root: Root, keys: Iterable[str], texts: Mapping[str, bytes] | None = None) -> Self:
        """Seal existing files, and files that are about to be written.

        Args:
            root: of the store.
            keys: existing files.
            texts: contents of files that are about to be written, by key.

        Raises:
            StoreError: If a file does not exist.
        """
        contents = dict(texts or {})
        for key in keys:
            data = root.read(key)
            if data is None:
                raise StoreError(
                    f"{root.url}/{key}: is missing right after it was written. Was the store removed? Start again"
                )
            contents[key] = data
        return cls({key: _entry(key, data) for key, data in contents.items()})

    def put(self, root: Root, folder: str) -> None:
        """Write the seal."""
        root.put(f"{folder}/{SEAL}", pack({"files": {key: dict(entry) for key, entry in self.files.items()}}))

    @classmethod
    def read(cls, root: Root, folder: str) -> Self | None:
        """The seal in a folder, or ``None``.

        Raises:
            StoreError: If it is damaged.
        """
        key = f"{folder}/{SEAL}"
        data = root.read(key)
        return None if data is None else cls(unpack(data, where=f"{root.url}/{key}")["files"])


def content_of(entry: Mapping[str, Any]) -> bytes | None:
    """The content of a sealed file, or ``None`` if the seal does not keep it."""
    if "text" in entry:
        return str(entry["text"]).encode()
    return base64.b64decode(entry["base64"]) if "base64" in entry else None


def _entry(key: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"bytes": len(data), "crc32": crc32_of(data)}
    if key.endswith(".json"):
        return {**entry, "text": data.decode()}
    return {**entry, "base64": base64.b64encode(data).decode()} if len(data) <= _KEPT_BYTES else entry
