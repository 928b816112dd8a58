"""Reads clip tables from folders of media, tars, LLP's CSVs, and CSV or JSONL tables."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from storage.errors import ClipTableError, InvalidInput
from storage.media.addresses import in_bucket, is_address, is_tar, parse_address
from storage.tables.clip import COLUMNS, Clip
from storage.tables.llp_names import LLP_SPLIT_FILES, parse_llp_name, split_of_file
from storage.tables.media_files import find_media, left_out, one_file_each
from storage.tables.media_place import MediaPlace, find_in_bucket
from storage.tables.patterns import is_pattern, named_files
from storage.tables.tar_media import tar_media
from storage.text import lines_of, name_key, visible

_SHOWN_PROBLEMS = 5
_SHOWN_LETTERS = 1_000
_TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
_NumberedRows = Iterator[tuple[int, dict[str, Any] | str]]
"""Line numbers with the row that begins there, or with what is wrong with it."""


@dataclass(frozen=True)
class Found:
    """The clips of a source.

    Attributes:
        clips: in row order.
        dataset: a name for people.
        notes: what was left out, as sentences.
    """

    clips: Sequence[Clip]
    dataset: str
    notes: tuple[str, ...] = ()


def read_source(source: str, media: str | os.PathLike[str] | None) -> Found:
    """Read any source of clips; see :meth:`storage.clips.ClipTable.load`."""
    if is_address(source):
        return _read_bucket(str(parse_address(source)))
    path = Path(source).expanduser()
    # Methods of Path raise over a name that is too long.
    if not os.path.exists(path):  # noqa: PTH110
        if is_pattern(source):
            return read_tars(named_files(str(path)), dataset=path.parent.name)
        what = "is a link that leads nowhere" if os.path.islink(path) else "no such file or folder"  # noqa: PTH114
        raise ClipTableError(f"{visible(source)}: {what}. Give a folder of media or a clip table")
    is_folder = path.is_dir()
    place = MediaPlace(media if media is not None else path if is_folder else path.parent)
    splits = [path / name for name in LLP_SPLIT_FILES if (path / name).is_file()] if is_folder else []
    if splits:
        return read_llp(splits, place)
    if is_folder:
        return read_folder(path)
    return read_tars([str(path)], dataset=path.stem) if is_tar(path.name) else read_table(path, place)


def read_folder(folder: Path) -> Found:
    """Read a folder: every media file in it or below is a clip, and its id is its path without the suffix.

    Media in its tars come behind, see :func:`read_tars`.
    """
    media = find_media(folder, with_tars=True)
    chosen, beside = one_file_each(media.files, folder)
    clips = [Clip(id=name, path=os.path.abspath(chosen[name])) for name in sorted(chosen, key=lambda id_: chosen[id_])]
    packed = read_tars([str(path) for path in media.tars], dataset="")
    return Found([*clips, *packed.clips], folder.absolute().name, media.notes + beside + packed.notes)


def read_tars(tars: Sequence[str], *, dataset: str) -> Found:
    """Read tars: every media file in them is a clip, and its id is its name up to the first dot, as in WebDataset."""
    if others := [tar for tar in tars if not is_tar(tar)]:
        raise ClipTableError(f"{visible(others[0])}: a pattern names tars. Give the folder instead, or a table")
    where = [tar if in_bucket(tar) else os.path.abspath(tar) for tar in tars]
    media, notes = tar_media(where) if where else ([], ())
    return Found([Clip(item.key, item.address) for item in media], dataset, notes)


def _read_bucket(url: str) -> Found:
    """Read a folder in a bucket, or tars there."""
    name = PurePosixPath(url).name
    if is_pattern(url) or is_tar(name):
        tars = named_files(url) if is_pattern(url) else [url]
        return read_tars(tars, dataset=PurePosixPath(url).parent.name if is_pattern(url) else PurePosixPath(url).stem)
    if Path(name).suffix.lower() in _TABLE_SUFFIXES:
        raise ClipTableError(f"{visible(url)}: a table has to be on this machine. Copy it; its media may stay")
    there = find_in_bucket(url)
    chosen, beside = one_file_each(there.media, PurePosixPath())
    clips = [Clip(key, there.media[chosen[key]]) for key in sorted(chosen, key=lambda id_: chosen[id_])]
    packed = read_tars(there.tars, dataset="")
    other = left_out(there.others, "file", "no media", ["not told apart in a bucket"])
    return Found([*clips, *packed.clips], name, tuple(filter(None, (other, *beside, *packed.notes))))


def read_table(path: Path, media: MediaPlace) -> Found:
    """Read a table in any of the formats, which suffix and first line tell apart."""
    if path.suffix.lower() == ".jsonl":
        return _from_rows(path, media, _jsonl_rows)
    header = lines_of(_text(path))[:1]
    if header and ("\t" in header[0] or header[0].strip() == "filename"):
        return read_llp([path], media)
    return _from_rows(path, media, _csv_rows)


def read_llp(paths: Sequence[Path], media: MediaPlace) -> Found:
    """Read LLP's weak label files, one after the other."""
    clips: list[Clip] = []
    seen: dict[str, str] = {}
    for path in paths:
        clips += _llp_clips(path, media, seen)
    return Found(clips, "llp")


def _llp_clips(path: Path, media: MediaPlace, seen: dict[str, str]) -> Iterator[Clip]:
    split = split_of_file(path.name)
    lines = lines_of(_text(path))
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
        file = media.by_stem.get(name) or media.by_stem.get(parsed.youtube_id) or media.path_of(f"{name}.mp4")
        tags = tuple(label.strip() for label in labels.split(",") if label.strip())
        clips.append(Clip(name, file, parsed.start_seconds, parsed.end_seconds, split, tags))
    _refuse(path, problems)
    yield from clips


def _text(path: Path) -> str:
    """The file's text, with its line ends as they are: a CSV field may contain them."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ClipTableError(
            f"{visible(path)}: not a text table in UTF-8 (byte {problem.start}). Expected CSV or JSONL"
        ) from problem
    except OSError as problem:
        raise ClipTableError(f"{visible(path)}: cannot be read: {problem.strerror}") from problem


def _refuse(path: Path, problems: Sequence[str]) -> None:
    if problems:
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        lines = "line is" if len(problems) == 1 else "lines are"
        shown = visible("; ".join(problems[:_SHOWN_PROBLEMS]), limit=_SHOWN_LETTERS)
        raise ClipTableError(f"{visible(path)}: {len(problems)} {lines} bad: {shown}{more}")


def _csv_rows(text: str) -> _NumberedRows:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins = 1
    try:
        columns = next(reader, [])
        if not {"id", "path"} & set(columns) or set(columns) - set(COLUMNS) or len(set(columns)) < len(columns):
            yield 1, f"expected the columns {', '.join(COLUMNS)} (id or path at least), got {columns}"
            return
        begins = reader.line_num + 1
        for fields in reader:
            if fields and len(fields) != len(columns):
                yield begins, f"expected {len(columns)} fields, got {len(fields)}"
            elif fields:
                row: dict[str, Any] = dict(zip(columns, fields, strict=True))
                yield begins, {**row, "labels": [part for part in row.get("labels", "").split(";") if part]}
            begins = reader.line_num + 1
    except csv.Error as problem:
        yield begins, f"not CSV from here on: {problem}"


def _jsonl_rows(text: str) -> _NumberedRows:
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as problem:
            yield number, f"not JSON: {problem}"
            continue
        if not isinstance(row, dict) or set(row) - set(COLUMNS):
            yield number, f"expected an object with the keys {', '.join(COLUMNS)}"
        else:
            yield number, row


def _from_rows(path: Path, media: MediaPlace, rows: Callable[[str], _NumberedRows]) -> Found:
    problems: list[str] = []
    clips: list[Clip] = []
    first_line: dict[str, tuple[int, str]] = {}
    for number, row in rows(_text(path)):
        clip = row if isinstance(row, str) else _clip_of_row(row, media)
        if isinstance(clip, str):
            problems.append(f"line {number}: {clip}")
            continue
        line, before = first_line.setdefault(name_key(clip.id), (number, clip.id))
        if line == number:
            clips.append(clip)
        elif before == clip.id:
            problems.append(f"line {number}: id {clip.id!r} is already in line {line}")
        else:
            problems.append(
                f"line {number}: id {clip.id!a} is already in line {line} as {before!a}, "
                "the same letters in another Unicode normal form"
            )
    _refuse(path, problems)
    return Found(clips, path.stem)


def _clip_of_row(row: dict[str, Any], media: MediaPlace) -> Clip | str:
    """The clip, or what is wrong with the row."""
    for key in ("id", "path", "split"):
        if not isinstance(row.get(key), (str, int, type(None))) or isinstance(row.get(key), bool):
            return f"{key} is {row[key]!r}; expected a text or a whole number"
    name, file, split = (_as_text(row.get(key)) for key in ("id", "path", "split"))
    if not name and not file:
        return "neither an id nor a path"
    if "\0" in name + file:
        return "a NUL character in the id or the path, which no file name has"
    labels = [] if row.get("labels") is None else row["labels"]
    if not isinstance(labels, list) or not all(isinstance(label, (str, int)) for label in labels):
        return f"labels is {labels!r}; expected a list of texts"
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
    try:
        target = media.path_of(file or f"{name}.mp4")
        default = name or (parse_address(file).stem if is_address(file) else Path(file).stem)
    except InvalidInput as problem:
        return f"path: {problem}"
    return Clip(default, target, start, end, split, tuple(map(str, labels)))


def _as_text(value: str | int | None) -> str:
    return "" if value is None else str(value)


def _seconds(value: Any, *, default: float | None) -> float | str | None:
    """A finite number, the default where the field is empty, or the text that is not a number."""
    if value is None or value == "":
        return default
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return seconds if math.isfinite(seconds) and not isinstance(value, bool) else str(value)
