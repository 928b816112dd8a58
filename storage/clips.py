"""Clip tables: the ordered list of a store's clips. Row ``i`` of every array is clip ``i``."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

from storage.errors import ClipTableError
from storage.tables.clip import COLUMNS as COLUMNS
from storage.tables.clip import Clip as Clip
from storage.tables.sources import read_source
from storage.text import visible

_SHOWN_PROBLEMS = 5


class ClipTable(Sequence[Clip]):
    """An ordered, hashed list of clips.

    Args:
        clips: in row order.
        dataset: a name for people, e.g. ``llp``.
        source: where the table came from, for messages.
        notes: what was left out while reading, as sentences.

    Raises:
        ClipTableError: If it is empty, an id occurs twice, or a text is not valid UTF-8.
    """

    def __init__(
        self, clips: Iterable[Clip], *, dataset: str = "", source: str = "", notes: Iterable[str] = ()
    ) -> None:
        self.clips = tuple(clips)
        self.dataset = dataset
        self.source = source
        self.notes = tuple(notes)
        if not self.clips:
            left_out = "".join(f" ({note})" for note in self.notes)
            raise ClipTableError(
                f"{visible(source)}: no clips{left_out}. Give a folder with media files, an LLP CSV, or a CSV or "
                "JSONL table"
            )
        if unwritable := [clip.id for clip in self.clips if not _is_text(clip)]:
            raise ClipTableError(
                f"{visible(source)}: {_some(unwritable)}: the id, path or a label is not UTF-8, which a store needs. "
                "Rename it"
            )
        repeated = [name for name, count in Counter(clip.id for clip in self.clips).items() if count > 1]
        if repeated:
            raise ClipTableError(f"{visible(source)}: {_some(repeated)} occur more than once; ids must be unique")

    @overload
    def __getitem__(self, row: int) -> Clip: ...
    @overload
    def __getitem__(self, row: slice) -> tuple[Clip, ...]: ...
    def __getitem__(self, row: int | slice) -> Clip | tuple[Clip, ...]:
        return self.clips[row]

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def ids(self) -> list[str]:
        """Ids in row order."""
        return [clip.id for clip in self.clips]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over ids and spans, in row order. Paths, splits and labels may change."""
        digest = hashlib.sha256()
        for clip in self.clips:
            end = None if clip.end_seconds is None else float(clip.end_seconds)
            digest.update(f"{clip.id}\t{float(clip.start_seconds)!r}\t{end!r}\n".encode())
        return digest.hexdigest()

    @classmethod
    def load(cls, source: str | Path, *, media: str | Path | None = None) -> ClipTable:
        """Read any source of clips.

        Args:
            source: a folder of media, a tar or a pattern of tars such as ``shards/{000..012}.tar``, a folder with the
                LLP CSVs, one LLP CSV, or a CSV or JSONL table of our own. Folders and tars may be in a bucket.
            media: where the media files of a table are: a folder, a folder in a bucket, or a tar; the table's own
                folder if not given.

        Returns:
            The table. Its :attr:`notes` say which files of a folder are no clips.

        Raises:
            ClipTableError: If the source is absent, empty, malformed or has duplicates; bad lines are named. Ids that
                differ only in Unicode normal form are duplicates.
            InvalidInput: If it is an address of a kind that media are not read from.
        """
        found = read_source(str(source), media)
        return cls(found.clips, dataset=found.dataset, source=str(source), notes=found.notes)

    def part(self, *, split: str | None = None, limit: int | None = None) -> ClipTable:
        """The clips of one split, or the first few, in row order; a table of its own, for a store of its own.

        Args:
            split: as in :attr:`Clip.split`; ``None`` for all.
            limit: clips at most; ``None`` for all.

        Raises:
            ClipTableError: If no clip is of that split.
        """
        found = [clip for clip in self.clips if split is None or clip.split == split]
        if not found:
            splits = ", ".join(dict.fromkeys(clip.split for clip in self.clips if clip.split))
            known = f"its splits are: {splits}" if splits else "it names none, LLP's CSVs do. Leave the split out"
            raise ClipTableError(f"{visible(self.source)}: no clip is of split {split!r}; {known}")
        chosen = found if limit is None else found[:limit]
        if len(chosen) == len(self.clips):
            return self
        asked = f" of split {split}" if split is not None else ""
        which = "all" if len(chosen) == len(found) else f"the first {len(chosen)}"
        note = f"taking {len(chosen)} of {len(self.clips)} clips: {which}{asked}"
        return ClipTable(chosen, dataset=self.dataset, source=self.source, notes=(*self.notes, note))

    def to_csv(self, path: str | Path) -> None:
        """Write a CSV table that :meth:`load` reads back."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for clip in self.clips:
                end = "" if clip.end_seconds is None else repr(clip.end_seconds)
                labels = ";".join(clip.labels)
                writer.writerow([clip.id, clip.path, repr(clip.start_seconds), end, clip.split, labels])


def _is_text(clip: Clip) -> bool:
    """Whether every text encodes as UTF-8. File names that are not UTF-8 become surrogates in Python, which do not."""
    try:
        "".join((clip.id, clip.path, clip.split, *clip.labels)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN_PROBLEMS])
    return shown if len(names) <= _SHOWN_PROBLEMS else f"{shown} and {len(names) - _SHOWN_PROBLEMS} more"
