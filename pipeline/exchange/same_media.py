"""Checks that stores to be merged took the features of a clip from the same media."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from storage.errors import SchemaMismatch
from storage.store import FeatureStore
from storage.text import count

_SHOWN = 3
_IMPORTED = "imported"


def check_same_media(stores: Sequence[FeatureStore]) -> None:
    """Refuse stores in which a clip of one id was made from different files or spans.

    Only rows with features count: a clip that failed in one store may have been downloaded again for another. Arrays
    that were imported have fingerprints of their own files, and are compared with the same array elsewhere.

    Raises:
        SchemaMismatch: With the clips, and two of the arrays that differ.
    """
    first: dict[tuple[str, str], tuple[str, str]] = {}
    differ: dict[str, tuple[str, str]] = {}
    for store in stores:
        for kind, array in _arrays(store):
            where = f"{store.url} ({array})"
            for clip_id, fingerprint in _fingerprints(store, array):
                known = first.setdefault((kind, clip_id), (fingerprint, where))
                if known[0] != fingerprint:
                    differ.setdefault(clip_id, (known[1], where))
    if differ:
        shown = ", ".join(repr(clip_id) for clip_id in islice(differ, _SHOWN))
        one, other = next(iter(differ.values()))
        raise SchemaMismatch(
            f"{count(len(differ), 'clip')} ({shown}{', …' if len(differ) > _SHOWN else ''}) were made from different "
            f"media in {one} and in {other}. A row must not mix them: extract these clips again from the same files, "
            "or give them other ids"
        )


def _arrays(store: FeatureStore) -> Iterator[tuple[str, str]]:
    """Every array that has a ledger, and with whose fingerprints its own are to be compared."""
    for name in store.features:
        yield name if store.provenance(name).source == _IMPORTED else "", name
    for name in store.decoded:
        yield "", store.decoded_spec(name).ledger_name


def _fingerprints(store: FeatureStore, array: str) -> Iterator[tuple[str, str]]:
    for record in store.ledger(array).records():
        for row in record.rows:
            if row.stored and row.clip_fingerprint:
                yield row.id, row.clip_fingerprint
