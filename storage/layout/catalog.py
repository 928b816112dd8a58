"""Reads which arrays a store has, and their specs and provenance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from storage.errors import StoreError
from storage.files.root import Root
from storage.foreign_files import reading
from storage.layout.decoded import DecodedSpec
from storage.layout.metadata import StoreInfo
from storage.ledger import Ledger
from storage.ledger_summary import LedgerSummary
from storage.schema import FeatureSpec, Provenance, fingerprint


class Catalog:
    """The attributes of a store's groups and arrays.

    Args:
        root: the store's folder.
        info: the attributes of the root.

    Attributes:
        root: the store's folder.
        url: path or URL, as given.
        info: the attributes of the root.
    """

    def __init__(self, root: Root, info: StoreInfo) -> None:
        self.root = root
        self.url = root.url
        self.info = info
        self._ledgers: dict[str, Ledger] = {}
        self._summaries: dict[str, LedgerSummary] = {}

    @property
    def shards(self) -> int:
        """Number of shards of each array."""
        return -(-self.info.clips // self.info.shard_size)

    def shard_rows(self, shard: int) -> range:
        """The rows of a shard."""
        first = shard * self.info.shard_size
        return range(first, min(first + self.info.shard_size, self.info.clips))

    def recorded_rows(self, array: str, shard: int) -> int:
        """How many clips the newest record of a committed shard names: all, unless the store has grown since."""
        span = self.shard_rows(shard)
        if any(span.start < clips < span.stop for clips in self.info.grown_at):
            record = self.ledger(array).newest_of(shard)
            return 0 if record is None else len(record.rows)
        return len(span)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the feature arrays, sorted."""
        return tuple(name for name in self.root.names("features") if self.attributes(f"features/{name}"))

    @property
    def decoded(self) -> tuple[str, ...]:
        """Names of the kept intermediates, sorted."""
        return tuple(name for name in self.root.names("decoded") if self.attributes(f"decoded/{name}"))

    def attributes(self, path: str) -> Mapping[str, Any]:
        """See :func:`read_attributes`."""
        return read_attributes(self.root, path)

    def _feature_attributes(self, name: str) -> Mapping[str, Any]:
        attributes = self.attributes(f"features/{name}")
        if not attributes:
            raise StoreError(
                f"{self.url}: no features {name!r}; there are {', '.join(self.features) or 'none yet'}. "
                f"Make them: avvp extract --store {self.url} --backbone {name} --clips …"
            )
        return attributes

    def spec(self, name: str) -> FeatureSpec:
        """Shape and meaning of a feature array."""
        with self._reading(f"features/{name}"):
            return FeatureSpec.from_json(self._feature_attributes(name)["spec"])

    def provenance(self, name: str) -> Provenance:
        """Where a feature array comes from."""
        with self._reading(f"features/{name}"):
            return Provenance.from_json(self._feature_attributes(name)["provenance"])

    def fingerprint(self, name: str) -> str:
        """Content address of a feature array's spec and provenance."""
        return fingerprint(self.spec(name), self.provenance(name))

    def decoded_spec(self, name: str) -> DecodedSpec:
        """Shape and meaning of a kept intermediate."""
        attributes = self.attributes(f"decoded/{name}")
        if not attributes:
            raise StoreError(f"{self.url}: no {name!r} was kept; there are {', '.join(self.decoded) or 'none'}")
        with self._reading(f"decoded/{name}"):
            return DecodedSpec.from_json(attributes["spec"])

    def _reading(self, path: str) -> AbstractContextManager[None]:
        where = f"{self.url}/{path}/zarr.json"
        return reading(where, "is damaged", error=StoreError, remedy="Run: avvp verify")

    def ledger(self, array: str) -> Ledger:
        """The ledger of a feature array, or of ``decoded.<name>``. It is kept, with the commits that it has seen."""
        return self._ledgers.setdefault(array, Ledger(self.root, array))

    def summary(self, array: str, *, shards: Iterable[int] | None = None) -> LedgerSummary:
        """What the records of a feature array, or of ``decoded.<name>``, say in short, brought up to date.

        Args:
            array: its name.
            shards: bring only these up to date; ``None`` for all.
        """
        if array not in self._summaries:
            self._summaries[array] = LedgerSummary(
                self.root, self.ledger(array), clips=self.info.clips, shard_size=self.info.shard_size
            )
            shards = None  # of what the file says, a listing tells what is still so
        self._summaries[array].refresh(shards)
        return self._summaries[array]

    def save_summaries(self, *, least: int = 1) -> None:
        """Write the summaries to which at least so many shards are new."""
        for summary in list(self._summaries.values()):
            summary.save(least=least)


def read_attributes(root: Root, path: str) -> Mapping[str, Any]:
    """Our attributes of a group or array; empty if it has none.

    Raises:
        StoreError: If the metadata is damaged.
    """
    data = root.read(f"{path}/zarr.json")
    try:
        attributes = {} if data is None else json.loads(data).get("attributes", {}).get("avvp", {})
    except (ValueError, AttributeError, RecursionError) as problem:
        raise StoreError(f"{root.url}/{path}/zarr.json: is damaged ({problem}). Run: avvp verify") from problem
    return attributes if isinstance(attributes, dict) else {}
