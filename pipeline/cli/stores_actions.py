"""Implementation of the commands on whole stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from pipeline.inspection.status import overview
from pipeline.terminal.console import count, say_json, tell, wide_console
from storage.clips import ClipTable
from storage.errors import InvalidInput
from storage.files.opening import open_root
from storage.layout.metadata import read_info
from storage.media.addresses import is_address
from storage.store import FeatureStore
from storage.text import lines_of, visible

if TYPE_CHECKING:
    from pipeline.exchange.importing import ImportReport
    from pipeline.exchange.merging import CombineReport
    from pipeline.exchange.verify_report import VerifyReport

_WRONG_EXIT = 3
_SHOWN = 20
_SHOWN_REASONS = 10


def run_verify(store_url: str, *, deep: bool, repair: bool, as_json: bool) -> int:
    """``avvp verify``. Returns the exit code."""
    from pipeline.exchange.verify import verify

    report = verify(store_url, deep=deep)
    if repair and report.problems:
        return _repair(report)
    if as_json:
        say_json(report.to_json())
    else:
        _print_verified(report)
    return _WRONG_EXIT if report.problems else 0


def _print_verified(report: VerifyReport) -> None:
    console = wide_console()
    for problem in report.problems[:_SHOWN]:
        console.print(visible(str(problem)))
    if len(report.problems) > _SHOWN:
        console.print(f"and {len(report.problems) - _SHOWN} more: avvp verify --json")
    for note in report.notes[:_SHOWN]:
        console.print(f"note: {visible(note)}")
    if len(report.notes) > _SHOWN:
        console.print(f"and {len(report.notes) - _SHOWN} more notes")
    how = f"{count(report.files, 'file')}, {report.bytes_read / 1e6:.1f} MB read"
    if not report.problems:
        more = "" if report.deep else "; --deep reads every byte"
        console.print(f"{visible(report.store)}: nothing is wrong ({how}{more})")
        return
    console.print(f"{visible(report.store)}: {count(len(report.problems), 'problem')} ({how})")
    deep = " --deep" if report.deep else ""
    console.print(
        f"Next: avvp verify {visible(report.store)}{deep} --repair puts metadata back and marks damaged rows; then the "
        "same avvp extract or avvp import again redoes these rows"
    )


def _repair(report: VerifyReport) -> int:
    """Put metadata back, look again, mark what must be redone, and look once more."""
    from pipeline.exchange.repair import mark_rows, restore_metadata
    from pipeline.exchange.verify import verify

    console = wide_console()
    restored = restore_metadata(report.store, report.problems).restored
    for file in restored:
        console.print(f"put back: {visible(file)}")
    again = verify(report.store, deep=report.deep) if restored else report
    marked = mark_rows(report.store, again.problems).marked
    for array, rows in marked.items():
        console.print(f"{visible(array)}: {count(rows, 'row')} to redo")
    left = verify(report.store, deep=report.deep).problems
    for problem in left[:_SHOWN]:
        console.print(f"not mended: {visible(str(problem))}")
    if marked:
        console.print("Now run the same avvp extract or avvp import again: it redoes these rows and no others")
    return _WRONG_EXIT if left else 0


def run_import(
    *, store_url: str, folder: str, layout: str, clips: str | None, media: str | None, dtype: str, codec: str,
    shard_size: int | None, rebuild: bool, annotations: Path | None = None,
) -> int:  # fmt: skip
    """``avvp import``. Returns the exit code."""
    from pipeline.exchange.ave_hdf5 import AVE_LAYOUT
    from pipeline.exchange.importing import IMPORT_SHARD_SIZE, import_features
    from pipeline.exchange.npy_layouts import LAYOUTS, parse_layout, table_of_folder
    from pipeline.malloc import keep_freed_memory

    keep_freed_memory()
    if layout == AVE_LAYOUT:
        if media is not None:
            raise InvalidInput(f"--media is not for --layout {AVE_LAYOUT}, whose features name no media. Leave it out")
        return _import_ave(
            store_url, Path(folder).expanduser(), clips, annotations, dtype=dtype, codec=codec, rebuild=rebuild,
            shard_size=shard_size,
        )  # fmt: skip
    if annotations is not None:
        raise InvalidInput(f"--annotations is for --layout {AVE_LAYOUT}. Leave it out")
    parts, source = parse_layout(layout), Path(folder).expanduser()
    if clips is None and read_info(open_root(store_url)) is not None:
        store = FeatureStore.open(store_url, read_only=False)
    else:
        dataset = layout if layout in LAYOUTS else parts[0].array
        table = table_of_folder(source, parts, dataset=dataset) if clips is None else ClipTable.load(clips, media=media)
        tell(table.notes)
        new = read_info(open_root(store_url)) is None
        store = FeatureStore.open_or_create(
            store_url, table, shard_size=shard_size or (IMPORT_SHARD_SIZE if new else None)
        )
    report = import_features(store, source, parts, rebuild=rebuild, dtype=dtype, codec=codec)
    _print_imported(store_url, report)
    return _WRONG_EXIT if any(report.failed.values()) else 0


def _import_ave(
    store_url: str, folder: Path, clips: str | None, annotations: Path | None, *, dtype: str, codec: str, rebuild: bool,
    shard_size: int | None,
) -> int:  # fmt: skip
    """``avvp import --layout ave-eccv18``. Returns the exit code."""
    from pipeline.exchange.ave_hdf5 import AVE_SHARD_SIZE, import_ave, read_ave_folder
    from pipeline.exchange.ave_rows import write_event_files

    found = read_ave_folder(folder, clips=clips)
    tell(found.notes)
    written = None if annotations is None else write_event_files(found, annotations.expanduser())
    new = read_info(open_root(store_url)) is None
    table = found.table(source=str(folder))
    store = FeatureStore.open_or_create(store_url, table, shard_size=shard_size or (AVE_SHARD_SIZE if new else None))
    report = import_ave(store, folder, found.rows, rebuild=rebuild, dtype=dtype, codec=codec)
    _print_imported(store_url, report)
    if written is not None:
        wide_console().print(f"{visible(annotations)}: {', '.join(written)}")
    return _WRONG_EXIT if any(report.failed.values()) else 0


def _print_imported(store_url: str, report: ImportReport) -> None:
    console = wide_console()
    for array, rows in report.imported.items():
        failed = report.failed.get(array, [])
        there = f", {count(report.kept[array], 'row')} as before" if report.kept.get(array) else ""
        console.print(f"{visible(array)}: {count(rows, 'row')} imported{there}, {len(failed)} failed")
        reasons = Counter((status, reason.partition(": ")[2] or "no such file") for _, status, reason in failed)
        for (status, reason), number in reasons.most_common(_SHOWN_REASONS):
            example = next(clip for clip, said, why in failed if said == status)
            console.print(f"  {number} {status}: {visible(reason)}  e.g. {visible(example)}")
    if any(report.failed.values()):
        console.print(f"What failed and why: avvp status {visible(store_url)}")


def run_export(store_url: str, folder: str, *, layout: str, padding: str, clips_per_tar: int | None = None) -> None:
    """``avvp export``."""
    from pipeline.exchange.exporting import export_features
    from pipeline.exchange.npy_layouts import parse_layout
    from pipeline.exchange.webdataset import parse_webdataset

    if is_address(folder):
        raise InvalidInput(f"{visible(folder)}: an export is written to a folder on this machine. Copy it from there")
    arrays, chosen = parse_webdataset(layout), cast("Literal['skip', 'zero', 'nan']", padding)
    if arrays is not None:
        _export_webdataset(store_url, Path(folder).expanduser(), arrays, chosen, clips_per_tar)
        return
    if clips_per_tar is not None:
        raise InvalidInput("--clips-per-tar is for --layout webdataset. Leave it out")
    parts = parse_layout(layout)
    report = export_features(FeatureStore.open(store_url), Path(folder).expanduser(), parts, padding=chosen)
    console = wide_console()
    for array, files in report.written.items():
        padded = f", {report.padded[array]} of them with {padding} for missing steps" if array in report.padded else ""
        replaced = f", {report.replaced[array]} of them replaced" if report.replaced.get(array) else ""
        left = _left_out(report.skipped.get(array, []))
        console.print(f"{visible(array)}: {count(files, 'file')}{replaced}{padded}{left}")


def _export_webdataset(
    store_url: str,
    folder: Path,
    arrays: Sequence[str],
    padding: Literal["skip", "zero", "nan"],
    clips_per_tar: int | None,
) -> None:
    from pipeline.exchange.webdataset import export_webdataset

    store = FeatureStore.open(store_url)
    report = export_webdataset(store, folder, arrays=arrays, clips_per_tar=clips_per_tar, padding=padding)
    console = wide_console()
    left = _left_out(report.left_out)
    console.print(f"{visible(folder)}: {count(report.clips, 'clip')} in {count(report.tars, 'tar')}{left}")
    for array, clips in report.written.items():
        without = report.without.get(array, [])
        lacking = f"; {count(len(without), 'clip')} without, e.g. {visible(without[0])}" if without else ""
        console.print(f"  {visible(array)}: {count(clips, 'clip')}{lacking}")
    if report.left_out or report.without:
        console.print(f"What failed and why: avvp status {visible(store_url)}")


def _left_out(clips: Sequence[str]) -> str:
    return f"; {count(len(clips), 'clip')} left out, e.g. {visible(clips[0])}" if clips else ""


def run_merge(urls: Sequence[str], target: str, *, shard_size: int | None) -> None:
    """``avvp store merge``."""
    from pipeline.exchange.merging import merge

    if read_info(open_root(urls[0])) is None and read_info(open_root(target)) is not None:
        raise InvalidInput(
            f"{urls[0]}: no feature store here, and {target} is one. The new store comes last: "
            "avvp store merge STORE… OUT"
        )
    _print_combined(target, merge(urls, target, shard_size=shard_size))


def run_append(store_url: str, *, clips: str, media: str | None) -> None:
    """``avvp store append``."""
    from storage.growth import append_clips

    table = ClipTable.load(clips, media=media)
    tell(table.notes)
    new, console = append_clips(store_url, table), wide_console()
    total = FeatureStore.open(store_url).info.clips
    if not new:
        console.print(f"{visible(store_url)}: has all {count(len(table), 'clip')} of {visible(clips)}")
        return
    named = f", {visible(new[0].id)} to {visible(new[-1].id)}" if len(new) > 1 else f", {visible(new[0].id)}"
    console.print(f"{visible(store_url)}: {count(len(new), 'clip')} appended{named}; {count(total, 'clip')} in all")
    console.print(
        f"Extract what is new: avvp extract --store {visible(store_url)} --clips {visible(clips)} --backbone …"
    )


def run_subset(store_url: str, target: str, *, split: str | None, ids_file: str | None, shard_size: int | None) -> None:
    """``avvp store subset``."""
    from pipeline.exchange.merging import subset

    if (split is None) == (ids_file is None):
        raise InvalidInput("store subset: give --split NAME or --ids FILE, one of them")
    if ids_file is None:
        report = subset(store_url, target, keep=lambda clip: clip.split == split, shard_size=shard_size)
    else:
        wanted = _ids(ids_file, FeatureStore.open(store_url))
        report = subset(store_url, target, keep=lambda clip: clip.id in wanted, shard_size=shard_size)
    _print_combined(target, report)


def _ids(path: str, store: FeatureStore) -> set[str]:
    try:
        lines = lines_of(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidInput(f"--ids {path}: cannot be read: {problem}") from problem
    wanted, ids = set[str](), store.ids
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                wanted.add(ids[store.row_of(line.strip())])
            except InvalidInput as problem:
                raise InvalidInput(f"--ids {path} line {number}: {problem}") from None
    return wanted


def _print_combined(target: str, report: CombineReport) -> None:
    console = wide_console()
    console.print(f"{visible(target)}: {count(report.clips, 'clip')}")
    for array, rows in report.rows.items():
        console.print(f"  {visible(array)}: {count(rows, 'row')} with features")
    if failed := overview(FeatureStore.open(target)).failed_clips:
        console.print(f"{count(failed, 'clip')} failed, as before. Why: avvp status {visible(target)}")
