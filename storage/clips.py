"""Clip tables: which clips a store holds, in which order. Row ``i`` of every array is clip ``i``."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from storage.errors import ClipTableError
from storage.llp_names import LLP_SPLIT_FILES, parse_llp_name, split_of_file

MEDIA_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".flv", ".mpg", ".mpeg", ".ts", ".wmv", ".3gp")
_COLUMNS = ("id", "path", "start_seconds", "end_seconds", "split", "labels")
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True)
class Clip:
    """One clip of a dataset.

    Attributes:
        id: unique in its table.
        path: the media file, absolute; it need not exist.
        start_seconds: where the clip starts in its source video.
        end_seconds: where it ends there; ``None`` for as long as the store's clips are.
        split: ``train``, ``val``, ``test`` or empty.
        labels: weak labels, video level.
    """

    id: str
    path: str
    start_seconds: float = 0.0
    end_seconds: float | None = None
    split: str = ""
    labels: tuple[str, ...] = ()


class ClipTable(Sequence[Clip]):
    """An ordered, hashed list of clips.

    Args:
        clips: in row order.
        dataset: a name for people, e.g. ``llp``.
        source: where the table came from, for messages.

    Raises:
        ClipTableError: If it is empty, ids occur twice, or a text cannot be written down.
    """

    def __init__(self, clips: Iterable[Clip], *, dataset: str = "", source: str = "") -> None:
        self.clips = tuple(clips)
        self.dataset = dataset
        self.source = source
        if not self.clips:
            raise ClipTableError(
                f"{source}: no clips. Give a folder with media files, an LLP CSV, or a CSV or JSONL table"
            )
        if unwritable := [clip.id for clip in self.clips if not _is_text(clip)]:
            raise ClipTableError(
                f"{source}: {_some(unwritable)}: the id, path or a label is not UTF-8, which a store needs. Rename it"
            )
        repeated = [name for name, count in Counter(clip.id for clip in self.clips).items() if count > 1]
        if repeated:
            raise ClipTableError(f"{source}: {_some(repeated)} occur more than once; ids must be unique")

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

    @property
    def hash(self) -> str:
        """SHA-256 over the ids and spans in order. Paths, splits and labels may change; rows may not."""
        digest = hashlib.sha256()
        for clip in self.clips:
            end = None if clip.end_seconds is None else float(clip.end_seconds)
            digest.update(f"{clip.id}\t{float(clip.start_seconds)!r}\t{end!r}\n".encode())
        return digest.hexdigest()

    @classmethod
    def load(cls, source: str | Path, *, media: str | Path | None = None) -> ClipTable:
        """Read any source of clips.

        Args:
            source: a folder of media, a folder with the LLP CSVs, one LLP CSV, or a CSV or JSONL table of our own.
            media: where the media files of a table are; its own folder if not given.

        Raises:
            ClipTableError: If the source is absent, empty, malformed or has duplicates; bad lines are named.
        """
        path = Path(source).expanduser()
        if not path.exists():
            raise ClipTableError(f"{source}: no such file or folder. Give a folder of media or a clip table")
        folder = Path(media).expanduser() if media is not None else (path if path.is_dir() else path.parent)
        if not folder.is_dir():
            raise ClipTableError(f"{folder}: no such folder of media")
        if path.is_dir():
            found = [path / name for name in LLP_SPLIT_FILES if (path / name).is_file()]
            return _from_llp(found, folder, source=str(source)) if found else _from_folder(path)
        if path.suffix.lower() == ".jsonl":
            return _from_rows(path, folder, _jsonl_rows)
        header = _header(path)
        if "\t" in header or header.strip() == "filename":
            return _from_llp([path], folder, source=str(source))
        return _from_rows(path, folder, _csv_rows)

    def to_csv(self, path: str | Path) -> None:
        """Write our own CSV, which :meth:`load` reads back."""
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            for clip in self.clips:
                end = "" if clip.end_seconds is None else repr(clip.end_seconds)
                labels = ";".join(clip.labels)
                writer.writerow([clip.id, clip.path, repr(clip.start_seconds), end, clip.split, labels])


def _is_text(clip: Clip) -> bool:
    """Whether it can be written as UTF-8: Python reads other file names into code points that cannot."""
    try:
        "".join((clip.id, clip.path, clip.split, *clip.labels)).encode()
    except UnicodeEncodeError:
        return False
    return True


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN_PROBLEMS])
    return shown if len(names) <= _SHOWN_PROBLEMS else f"{shown} and {len(names) - _SHOWN_PROBLEMS} more"


def _refuse(path: Path, problems: Sequence[str]) -> None:
    if problems:
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        lines = "line is" if len(problems) == 1 else "lines are"
        raise ClipTableError(f"{path}: {len(problems)} {lines} bad: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ClipTableError(
            f"{path}: not a text table in UTF-8 (byte {problem.start}). Expected CSV or JSONL"
        ) from problem
    except OSError as problem:
        raise ClipTableError(f"{path}: cannot be read: {problem.strerror}") from problem


def _header(path: Path) -> str:
    lines = _text(path).splitlines()
    return lines[0] if lines else ""


def _media_files(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.suffix.lower() in MEDIA_SUFFIXES and not path.is_dir())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _from_folder(folder: Path) -> ClipTable:
    clips = []
    for path in _media_files(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        clips.append(Clip(id=name, path=os.path.abspath(path)))
    return ClipTable(clips, dataset=folder.absolute().name, source=str(folder))


def _from_llp(paths: Sequence[Path], media: Path, *, source: str) -> ClipTable:
    by_stem = {path.stem: path for path in reversed(_media_files(media))}
    clips: list[Clip] = []
    seen: dict[str, str] = {}
    for path in paths:
        clips += _llp_clips(path, media, by_stem, seen)
    return ClipTable(clips, dataset="llp", source=source)


def _llp_clips(path: Path, media: Path, by_stem: dict[str, Path], seen: dict[str, str]) -> Iterator[Clip]:
    split = split_of_file(path.name)
    lines = _text(path).splitlines()
    columns = lines[0].split("\t") if lines else []
    if "onset" in columns:
        raise ClipTableError(f"{path}: dense annotations are no clip table. Give AVVP_train.csv, AVVP_val_pd.csv …")
    problems, clips = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and columns[0] == "filename"):
            continue
        name, _, labels = line.partition("\t")
        parsed = parse_llp_name(name)
        if parsed is None:
            problems.append(f"line {number}: expected <11-character id>_<start>_<end>, got {name!r}")
            continue
        if name in seen:
            problems.append(f"line {number}: {name!r} is already at {seen[name]}")
            continue
        seen[name] = f"{path.name} line {number}"
        file = by_stem.get(name) or by_stem.get(parsed.youtube_id) or media / f"{name}.mp4"
        tags = tuple(label.strip() for label in labels.split(",") if label.strip())
        clips.append(Clip(name, os.path.abspath(file), parsed.start_seconds, parsed.end_seconds, split, tags))
    _refuse(path, problems)
    yield from clips


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    try:
        unknown = [name for name in reader.fieldnames or () if name not in _COLUMNS]
        if not {"id", "path"} & set(reader.fieldnames or ()) or unknown:
            yield 1, f"expected the columns {', '.join(_COLUMNS)} (id or path at least), got {reader.fieldnames}"
            return
        for row in reader:
            if None in row or None in row.values():
                yield reader.line_num, f"expected {len(reader.fieldnames or ())} fields"
            else:
                labels = (row.get("labels") or "").split(";")
                yield reader.line_num, {**row, "labels": [part for part in labels if part]}
    except csv.Error as problem:
        yield reader.line_num + 1, f"not CSV from here on: {problem}"


def _jsonl_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as problem:
            yield number, f"not JSON: {problem}"
            continue
        if not isinstance(row, dict) or not isinstance(row.get("labels", []), list) or set(row) - set(_COLUMNS):
            yield number, f"expected an object with the keys {', '.join(_COLUMNS)} (labels a list)"
        else:
            yield number, row


def _from_rows(path: Path, media: Path, rows: Callable[[str], Iterator[tuple[int, dict[str, Any] | str]]]) -> ClipTable:
    problems: list[str] = []
    clips: list[Clip] = []
    first_line: dict[str, int] = {}
    for number, row in rows(_text(path)):
        clip = row if isinstance(row, str) else _clip_of_row(row, media)
        if isinstance(clip, str):
            problems.append(f"line {number}: {clip}")
        elif clip.id in first_line:
            problems.append(f"line {number}: id {clip.id!r} is already in line {first_line[clip.id]}")
        else:
            first_line[clip.id] = number
            clips.append(clip)
    _refuse(path, problems)
    return ClipTable(clips, dataset=path.stem, source=str(path))


def _clip_of_row(row: dict[str, Any], media: Path) -> Clip | str:
    """The clip, or what is wrong with the row."""
    name, file = str(row.get("id") or ""), str(row.get("path") or "")
    if not name and not file:
        return "neither an id nor a path"
    start = _seconds(row.get("start_seconds"), default=0.0)
    end = _seconds(row.get("end_seconds"), default=None)
    if isinstance(start, str) or start is None:
        return f"start_seconds is {start!r}; expected a number of seconds"
    if isinstance(end, str):
        return f"end_seconds is {end!r}; expected a number of seconds"
    if start < 0 or (end is not None and end <= start):
        return (
            f"the span [{start:g}, {end:g}) is empty or negative" if end is not None else f"start {start:g} is negative"
        )
    target = os.path.abspath(media / (file or f"{name}.mp4"))
    labels = tuple(str(label) for label in row.get("labels") or ())
    return Clip(name or Path(file).stem, target, start, end, str(row.get("split") or ""), labels)


def _seconds(value: Any, *, default: float | None) -> float | str | None:
    """A finite number, the default where the field is empty, or the text that is not a number."""
    if value is None or value == "":
        return default
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return str(value)
    return seconds if math.isfinite(seconds) else str(value)
