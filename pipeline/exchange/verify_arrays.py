"""Verifies one array: its ledger records, files and rows."""

from __future__ import annotations

from typing import Any

from pipeline.exchange.verify_report import Looked, Problem
from pipeline.exchange.verify_rows import ValueCheck
from storage.errors import StoreError
from storage.ledger import ShardRecord, record_of
from storage.ledger_summary import SUMMARY
from storage.store import FeatureStore


class ArrayCheck:
    """The records of one ledger folder, and what they vouch for."""

    def __init__(self, looked: Looked, store: FeatureStore, name: str) -> None:
        self.looked = looked
        self.store = store
        self.name = name
        self.kept = name.startswith("decoded.")
        self.values = ValueCheck(store, name)
        self.where = f"decoded/{name.removeprefix('decoded.')}" if self.kept else f"features/{name}"

    def files(self) -> set[str]:
        """All files of this array and its ledger."""
        folders = (f"{self.where}/", f"{self.where}_", f"ledger/{self.name}/")
        return {key for key in self.looked.sizes if key.startswith(folders)}

    def run(self) -> None:
        """Say what is wrong."""
        try:
            self._run()
        except StoreError as problem:
            self._say(f"{self.where}/zarr.json", str(problem))

    def _run(self) -> None:
        ledger = self.store.ledger(self.name)
        if not self.store.attributes(self.where):
            self._say(f"{self.where}/zarr.json", "the array that this ledger is of is not there or not ours")
            return
        self.looked.known.add(f"ledger/{self.name}/{SUMMARY}")  # made anew where it is damaged
        self._check_history()
        for shard, state in sorted(ledger.states().items()):
            try:
                record = ledger.read(shard, state.commit)
            except StoreError:
                continue  # said by the history check
            self._check_shard(record, interrupted=state.interrupted)

    def _say(self, file: str, cause: str, **more: Any) -> None:
        self.looked.say(Problem(self.where, file, cause, **more))

    def _check_history(self) -> None:
        """Every record there is, the superseded ones too."""
        for key in [key for key in self.looked.sizes if key.startswith(f"ledger/{self.name}/")]:
            shard, commit, kind = record_of(key.rpartition("/")[2]) or (0, 0, "")
            if kind == "json":
                self.looked.known.add(key)
                try:
                    record = self.store.ledger(self.name).read(shard, commit)
                except StoreError as problem:
                    self._say(key, str(problem), shard=shard, remedy="redo")
                    continue
                if (record.shard, record.commit, record.array) != (shard, commit, self.name):
                    self._say(key, "is the record of another shard", shard=shard, remedy="redo")

    def _check_shard(self, record: ShardRecord, *, interrupted: bool) -> None:
        shard, span = record.shard, self.store.shard_rows(record.shard)
        key = self.store.ledger(self.name).key(shard, record.commit)
        before = [clips - span.start for clips in self.store.info.grown_at if clips in span]
        named = len(record.rows) if len(record.rows) in before else len(span)  # it was made before the store grew
        if [row.id for row in record.rows] != [self.store.ids[row] for row in span[:named]]:
            self._say(key, "names other clips than the clip table", shard=shard, remedy="redo")
            return
        if not self.kept and record.fingerprint != self.store.fingerprint(self.name):
            self._say(key, "was made by another backbone identity than the array's", shard=shard, remedy="redo")
        wrong = self._check_files(record, interrupted=interrupted)
        if not self.kept and not wrong:
            wrong = self._check_masks(record)
        if self.looked.report.deep and not self.kept and not (wrong - {"values"}):
            self._check_values(record, damaged="values" in wrong)

    def _check_files(self, record: ShardRecord, *, interrupted: bool) -> set[str]:
        """Returns the last folder name of each array of which a file is wrong."""
        wrong = set()
        for file, entry in record.files.items():
            small = "/valid/" in file or "/status/" in file
            cause = self.looked.differs(file, dict(entry), content=self.looked.report.deep or small)
            if not cause:
                continue
            part = file.split("/c/")[0].rpartition("/")[2]
            wrong.add(part)
            if interrupted:
                self.looked.report.notes.append(f"{file}: {cause}; its commit was cut off and will be redone")
            elif self.kept or part != "values" or not self.looked.report.deep or "crc32" not in cause:
                self._say(file, cause, **self._rows_of_file(record, file), remedy="redo")
        return wrong

    def _rows_of_file(self, record: ShardRecord, file: str) -> dict[str, Any]:
        """A kept intermediate has a file a clip; other files hold the whole shard."""
        number = file.split("/c/")[1].split("/")[0]
        if self.kept and file.split("/c/")[0] == self.where:
            row = int(number)
            return {"shard": record.shard, "rows": (row,), "clips": (self.store.ids[row],)}
        return {"shard": record.shard}

    def _check_masks(self, record: ShardRecord) -> set[str]:
        span = self.store.shard_rows(record.shard)[: len(record.rows)]
        base = f"features/{self.name}"
        status = self.store.direct(f"{base}/status").rows(span.start, span.stop)
        valid = self.store.direct(f"{base}/valid").rows(span.start, span.stop)
        wrong = set()
        for row, entry, code, mask in zip(span, record.rows, status, valid, strict=True):
            at: dict[str, Any] = {"shard": record.shard, "rows": (row,), "clips": (entry.id,), "remedy": "redo"}
            if int(code) != int(entry.code):
                self._say(f"{base}/status", f"says {int(code)}, the ledger says {entry.status}", **at)
                wrong.add("status")
            if bool(mask.any()) != entry.stored:
                self._say(f"{base}/valid", f"has {int(mask.sum())} valid steps, stored is {entry.stored}", **at)
                wrong.add("valid")
        return wrong

    def _check_values(self, record: ShardRecord, *, damaged: bool) -> None:
        found = 0
        for row, cause in self.values.check(record):
            found += 1
            file = self.store.direct(f"features/{self.name}/values").key(record.shard)
            clips = () if row is None else (record.rows[row - record.first_clip].id,)
            rows = () if row is None else (row,)
            self._say(file, cause, shard=record.shard, rows=rows, clips=clips, remedy="redo")
        if damaged and not found:  # a byte outside all chunks
            file = self.store.direct(f"features/{self.name}/values").key(record.shard)
            self._say(file, "bytes outside its chunks were changed", shard=record.shard, remedy="redo")
