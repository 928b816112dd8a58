"""Finds the store of a run: as given, where it was, or where it lies now beside the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.terminal.console import tell
from pipeline.training.run_folder import STORE_FROM_RUN, provenance_of, recipe_of
from storage.errors import InvalidInput
from storage.files.opening import open_root
from storage.layout.metadata import read_info
from storage.store import FeatureStore


def open_run_store(run: Path, given: str | None = None) -> FeatureStore:
    """The store to predict a run's clips from.

    Without ``given`` it is the one that the run was trained on or imported for. If a local one is no longer where it
    was, the same place as seen from the run's folder and then a store of its name beside that folder are looked at, for
    runs and stores that were moved together; a line on standard error says which was taken.

    Args:
        run: its folder.
        given: path or URL of a store, rather than that. It may hold other clips; a line on standard error says so.

    Raises:
        InvalidInput: If the run names none, or it is not found.
        StoreError: If ``given`` is none.
    """
    provenance = provenance_of(run)
    if given is not None:
        store = FeatureStore.open(given)
        if provenance["clip_table"] not in ("", store.info.clip_table_hash):
            tell([f"{run}: {given} has other clips than the store that this run was trained on"])
        return store
    url = str(provenance["store"])
    if not url:
        arrays = ", ".join(recipe_of(run).features.streams().values())
        raise InvalidInput(f"{run}: was imported without a store. Give --store STORE, one with {arrays}")
    if _is_store(url):
        return FeatureStore.open(url)
    other = ""
    for place in _other_places(run, url, str(provenance.get(STORE_FROM_RUN, ""))):
        if not _is_store(str(place)):
            continue
        store = FeatureStore.open(place)
        if store.info.clip_table_hash == provenance["clip_table"]:
            tell([f"{run}: its store {url} is not there; taking {place}"])
            return store
        other = f" {place} has other clips."
    raise InvalidInput(f"{run}: its store {url} is not there.{other} Say where it is: --store STORE")


def _is_store(url: str) -> bool:
    return read_info(open_root(url)) is not None


def _other_places(run: Path, url: str, from_run: str) -> Iterator[Path]:
    """Where a store may have moved to; none for a remote one."""
    if "://" in url:
        return
    folder = run.absolute()
    if from_run:
        yield Path(os.path.normpath(folder / from_run))
    yield folder.parent / Path(url).name
