"""Verifies that a store holds the bytes that were written, and that they match the ledger.

Fast: metadata, seals, ledger records, masks and statuses, sizes of all files. Deep: every byte of every file, every
chunk, and the numbers themselves. Problems are told by array, clip and cause; nothing is changed here.
"""

from __future__ import annotations

import re
from typing import Any

from pipeline.exchange.verify_arrays import ArrayCheck
from pipeline.exchange.verify_report import Looked, Problem, VerifyReport
from pipeline.exchange.verify_unrecorded import check_records
from storage.clips import ClipTable
from storage.errors import AvvpError, StoreError
from storage.files.opening import open_root
from storage.files.root import Root
from storage.layout.arrays import LEDGER_NODE, fixed_metadata
from storage.layout.label_schema import LABEL_GROUPS
from storage.layout.metadata import read_info
from storage.shards.seal import SEAL, Seal
from storage.store import FeatureStore

_PASSING = re.compile(r"(^|/)[^/]*(\.lock(\.\d+)?|\.intent|\.partial)$")


def verify(url: str, *, deep: bool = False) -> VerifyReport:
    """Check a store.

    Args:
        url: of the store.
        deep: read every byte, decode every chunk.

    Returns:
        What was found; a store without problems has none in it.

    Raises:
        StoreError: If there is no store.
    """
    root = open_root(url)
    report = VerifyReport(root.url, deep)
    sizes = dict(root.walk())
    if not any(key.startswith("ledger/") for key in sizes) and read_info(root) is None:
        raise StoreError(f"{root.url}: no feature store here")
    looked = Looked(root, report, sizes)
    _check_seals(looked)
    try:
        store = FeatureStore(root, _info(root), read_only=True)
        _check_table(looked, store)
    except (AvvpError, ValueError, RuntimeError, KeyError) as problem:
        if not report.problems:
            report.problems.append(Problem("store", "zarr.json", str(problem)))
        return report
    unreadable = {problem.where for problem in report.problems if problem.remedy == "restore"}
    for array in sorted(_ledgers(looked)):
        if array.startswith(tuple(f"{group}." for group in LABEL_GROUPS)):
            continue  # put whole and once: their seals say it all
        check = ArrayCheck(looked, store, array)
        if array in unreadable:  # its metadata must be put back before the rest can be read
            looked.known |= check.files()
        else:
            check.run()
    check_records(looked, store, unreadable=unreadable)
    _check_rest(looked, store)
    report.files = len(sizes)
    return report


def _info(root: Root) -> Any:
    info = read_info(root)
    if info is None:
        raise StoreError(f"{root.url}: the root has no attributes of ours")
    return info


def _ledgers(looked: Looked) -> set[str]:
    return {key.split("/")[1] for key in looked.sizes if key.startswith("ledger/") and key.count("/") == 2}


def _check_seals(looked: Looked) -> None:
    """Everything that was put once: metadata, the clip table, labels."""
    folders = ["ledger", *(f"ledger/{name}" for name in sorted(_ledgers(looked)))]
    for folder in folders:
        key = f"{folder}/{SEAL}"
        looked.known.add(key)
        where = "store" if folder == "ledger" else folder.removeprefix("ledger/")
        try:
            seal = Seal.read(looked.root, folder)
        except StoreError as problem:
            looked.say(Problem(where, key, str(problem), remedy="reseal"))
            continue
        if seal is None:
            looked.say(Problem(where, key, "is missing: what was put once cannot be checked", remedy="reseal"))
            continue
        for file, entry in seal.files.items():
            if wrong := looked.differs(file, dict(entry), content=True):
                kept = "text" in entry or "base64" in entry
                looked.say(Problem(where, file, wrong, remedy="restore" if kept else "none"))
    for key, content in fixed_metadata().items():
        if key in looked.sizes:
            looked.known.add(key)
            if looked.root.read(key) != content:
                looked.say(Problem("store", key, "is not as it was written", remedy="restore"))
        elif key != LEDGER_NODE and any(other.startswith(f"{key.split('/')[0]}/") for other in looked.sizes):
            looked.say(
                Problem("store", key, "is missing: other Zarr libraries do not see what is in it", remedy="restore")
            )


def _check_table(looked: Looked, store: FeatureStore) -> None:
    clips: ClipTable = store.clips
    if clips.hash != store.info.clip_table_hash or len(clips) != store.info.clips:
        looked.say(Problem("clips", "clips", "the table's hash is not the one in the root: rows are not what they say"))


def _check_rest(looked: Looked, store: FeatureStore) -> None:
    """Files that nothing vouches for."""
    for key in sorted(set(looked.sizes) - looked.known):
        if _PASSING.search(key):
            if looked.sizes[key] and ".lock" not in key and not key.endswith(".partial"):
                looked.say(Problem("store", key, "should be empty"))
            looked.report.notes.append(f"{key}: left by a process that was killed, or is at work now")
        elif re.match(r"(features|decoded)/.+/c/\d+", key):
            looked.report.notes.append(f"{key}: was not committed; readers do not see it, the next run redoes it")
        elif key.endswith("zarr.json") and key.count("/") == 2 and looked.root.read(key) is not None:
            looked.say(Problem(key.rpartition("/")[0], key, "no seal vouches for this metadata", remedy="reseal"))
        else:
            looked.report.notes.append(f"{key}: is not ours")
