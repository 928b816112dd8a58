"""Creates, checks and removes the arrays of a store."""

from __future__ import annotations

from storage.array_names import array_name_problem
from storage.errors import InvalidInput, SchemaMismatch
from storage.layout.arrays import CREATE_PATIENCE_SECONDS, create_decoded, create_feature
from storage.layout.catalog import Catalog
from storage.layout.creation import steady_length
from storage.layout.decoded import DecodedSpec
from storage.layout.metadata import spec_differences
from storage.schema import FeatureSpec, Provenance


def ensure_feature(store: Catalog, spec: FeatureSpec, provenance: Provenance, *, rebuild: bool, codec: str) -> None:
    """See :meth:`storage.store.FeatureStore.ensure_feature`."""
    if problem := array_name_problem(spec.name):
        raise InvalidInput(f"{store.url}: the array {spec.name!r} {problem}. Give it another name")
    # Creating an array wipes what lies there, so the check and the creation must be one step for all processes.
    with store.root.lock(f"ledger/{spec.name}/create.lock", patience_seconds=CREATE_PATIENCE_SECONDS):
        attributes = store.attributes(f"features/{spec.name}")
        if attributes:
            there = FeatureSpec.from_json(attributes["spec"]), Provenance.from_json(attributes["provenance"])
            differences = spec_differences(there, (spec, provenance))
            if not differences:
                return
            if not rebuild and store.ledger(spec.name).states():
                raise SchemaMismatch(
                    f"{store.url}: features/{spec.name} has {'; '.join(differences)}. "
                    f"Rebuild it: add --rebuild (it replaces this array only)"
                )
            _check_replaceable(store, spec.name)
            remove_feature(store, spec.name)
        shard_size = store.info.shard_size
        with steady_length(store.root) as clips:
            create_feature(store.root, spec, provenance, clips=clips, shard_size=shard_size, codec=codec)


def _check_replaceable(store: Catalog, name: str) -> None:
    """Raises ShardLocked if another process is writing a shard of this array, whose rows would be lost."""
    ledger = store.ledger(name)
    for shard in ledger.locked_shards():
        with store.root.lock(ledger.lock_key(shard)):
            pass


def remove_feature(store: Catalog, name: str) -> None:
    """See :meth:`storage.store.FeatureStore.remove_feature`."""
    for entry in store.root.names(f"ledger/{name}"):
        if ".lock" not in entry:
            store.root.remove(f"ledger/{name}/{entry}")
    store.root.remove(f"features/{name}/zarr.json")
    store.root.remove(f"features/{name}")


def ensure_decoded(store: Catalog, spec: DecodedSpec) -> None:
    """See :meth:`storage.store.FeatureStore.ensure_decoded`."""
    with store.root.lock(f"ledger/{spec.ledger_name}/create.lock", patience_seconds=CREATE_PATIENCE_SECONDS):
        attributes = store.attributes(f"decoded/{spec.name}")
        if not attributes:
            with steady_length(store.root) as clips:
                create_decoded(store.root, spec, clips=clips, shard_size=store.info.shard_size)
        elif DecodedSpec.from_json(attributes["spec"]) != spec:
            raise SchemaMismatch(
                f"{store.url}: decoded/{spec.name} was kept as {attributes['spec']}, asked for {spec.to_json()}. "
                "Use a new store, or leave --keep out"
            )
