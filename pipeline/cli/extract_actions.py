"""Implementation of ``avvp extract``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.inspection.status import overview
from pipeline.terminal.console import count, tell, wide_console
from storage.clips import ClipTable
from storage.errors import InvalidInput
from storage.store import FeatureStore
from storage.text import visible

if TYPE_CHECKING:
    from pipeline.extraction.options import ExtractOptions
    from pipeline.extraction.reporting import ExtractReport

_FAILED_EXIT = 3
_SHOWN_FAILURES = 10
_SHOWN_CUT = 3


def read_clips(clips: str, media: str | None, *, split: str | None, limit: int | None) -> ClipTable:
    """The clip table that was asked for."""
    return ClipTable.load(clips, media=media).part(split=split, limit=limit)


def run_extract(*, table: ClipTable, store_url: str, options: ExtractOptions) -> int:
    """``avvp extract``. Returns the exit code."""
    from pipeline.extraction.extract import extract
    from pipeline.extraction.progress import terminal_reporter

    tell(table.notes)
    if not options.backbones and not options.keep:
        raise InvalidInput("nothing to extract: give --backbone NAME (see: avvp backbones) or --keep frames,waveform")
    with terminal_reporter(compiled=options.compile_networks) as reporter:
        report = extract(table, store_url, options, reporter=reporter)
    return _say_what_was_done(report, store_url, options)


def _say_what_was_done(report: ExtractReport, store_url: str, options: ExtractOptions) -> int:
    """A few lines, and the exit code."""
    console = wide_console()
    if report.changed:
        console.print(f"{count(len(report.changed), 'clip')} had changed on disk and were read again")
    for device, why in report.ended:
        if device not in report.lost:
            console.print(visible(f"the worker of {device} ended: {why}"))
    for device, why in report.lost.items():
        console.print(visible(f"{device} was lost, the others did its work: {why}"))
    if not report.read:
        failed_before = _say_that_nothing_was_done(store_url, options)
        if failed_before:
            console.print(
                f"{count(failed_before, 'clip')} failed in earlier runs: avvp status {visible(store_url)}, and "
                "--retry-failed to redo"
            )
        return _FAILED_EXIT if failed_before else 0
    found = overview(FeatureStore.open(store_url))
    earlier = max(found.failed_clips - len(report.failed), 0)
    failed = (
        f"{len(report.failed)} failed now, {earlier} in earlier runs" if earlier else f"{len(report.failed)} failed"
    )
    console.print(
        f"{visible(store_url)}: {count(len(report.shards), 'shard')}, {count(report.read, 'clip')} read "
        f"in {report.seconds:.1f} s; {failed}, {len(report.partial)} with one modality only"
    )
    if report.cut:
        some = ", ".join(sorted(report.cut)[:_SHOWN_CUT]) + (", …" if len(report.cut) > _SHOWN_CUT else "")
        console.print(f"{count(len(report.cut), 'clip')}: only the first {found.clip_seconds} s used, e.g. {some}")
    for (status, reason), number in report.reasons.most_common(_SHOWN_FAILURES):
        console.print(f"  {number} {status}: {visible(reason)}")
    if earlier:
        console.print(f"What failed in earlier runs: avvp status {visible(store_url)}; --retry-failed redoes it")
    return _FAILED_EXIT if report.failed or earlier else 0


def _say_that_nothing_was_done(store_url: str, options: ExtractOptions) -> int:
    """A line that says why; gives how many clips failed in earlier runs."""
    store = FeatureStore.open(store_url)
    chosen = options.shards_of(store.shards)
    where = f" in shards {options.part}" if options.part else ""
    all_there = f"all rows of {', '.join(options.backbones or options.keep)}{where} are there"
    no_shard = f"it has {count(store.shards, 'shard')}; none falls to --shards {options.part}"
    why = no_shard if chosen is not None and not chosen else all_there
    wide_console().print(f"{visible(store_url)}: nothing to do, {visible(why)}")
    return overview(store).failed_clips
