"""Implementation of ``avvp download``."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from pipeline.download.clips import DownloadOptions, DownloadReport, download, parse_rate, parse_retry
from pipeline.download.ledger import LEDGER_NAME, Attempt, DownloadLedger
from pipeline.download.one_clip import DEFAULT_FORMAT, check_cookies
from pipeline.download.reasons import OK, REASONS
from pipeline.terminal.console import count, tell, wide_console
from storage.clips import ClipTable
from storage.errors import InvalidInput
from storage.tables.llp_names import LLP_SPLIT_FILES
from storage.text import visible

_SOME_FAILED = 3
_INTERRUPTED = 130
_EVERY_SECONDS = 10.0
_SHOWN_WORDS = 5


def run_download(
    source: str, folder: Path, *, workers: int, rate: str, cookies: str, retry: tuple[str, ...], limit: int | None,
    deadline: float, socket_timeout: float, format_: str | None, url_template: str | None,
) -> int:  # fmt: skip
    """``avvp download``. Returns the exit code."""
    options = DownloadOptions(
        workers=workers,
        starts_per_second=parse_rate(rate),
        deadline_seconds=deadline,
        socket_timeout_seconds=socket_timeout,
        cookies=cookies,
        format=format_ or DEFAULT_FORMAT,
        retry=parse_retry(retry),
        limit=limit,
        **({"url_template": url_template} if url_template else {}),
    )
    if cookies:
        check_cookies(cookies)
    table = _table(source)
    folder = folder.expanduser()
    try:
        report = download(table, folder, options, listener=_Progress())
    except KeyboardInterrupt:
        _say("avvp: interrupted. Finished clips are whole; run the same command to go on")
        return _INTERRUPTED
    _print_report(folder, report, len(table))
    return _SOME_FAILED if report.failed or report.stopped else 0


def print_folder(folder: Path) -> None:
    """``avvp download --status``.

    Raises:
        InvalidInput: If nothing was ever downloaded into the folder.
    """
    folder = folder.expanduser()
    if not (folder / LEDGER_NAME).is_file():
        raise InvalidInput(f"{folder}: no {LEDGER_NAME} in it. Give the --out of an avvp download")
    ledger = DownloadLedger(folder)
    files = {path.stem for path in folder.glob("*.mp4")}
    failed = [attempt for name, attempt in ledger.failed().items() if name not in files]
    console = wide_console()
    console.print(f"{visible(str(folder))}: {count(len(files), 'clip')} there, {len(failed)} failed")
    _print_failures(failed)


def _table(source: str) -> ClipTable:
    path = Path(source).expanduser()
    if path.is_dir() and not any((path / name).is_file() for name in LLP_SPLIT_FILES):
        raise InvalidInput(f"{source}: expected a CSV, or a folder with {', '.join(LLP_SPLIT_FILES)}")
    return ClipTable.load(source)


class _Progress:
    """A line every ten seconds and at the end."""

    def __init__(self) -> None:
        self._failed: Counter[str] = Counter()
        self._said = time.monotonic()

    def __call__(self, attempt: Attempt, done: int, total: int) -> None:
        """Take note of an attempt."""
        if attempt.status != OK:
            self._failed[attempt.status] += 1
        now = time.monotonic()
        if now - self._said >= _EVERY_SECONDS or done == total:
            self._said = now
            failed = ", ".join(f"{number} {name}" for name, number in self._failed.most_common()) or "none"
            _say(f"{done}/{total} clips tried, failed: {failed}")


def _say(text: str) -> None:
    tell([text])


def _print_report(folder: Path, report: DownloadReport, total: int) -> None:
    console = wide_console()
    untried = f", {len(report.untried):,} not tried yet" if report.untried else ""
    there = f"{len(report.there):,} of {count(total, 'clip')} there"
    console.print(f"{visible(str(folder))}: {there}, {len(report.failed):,} failed{untried}")
    _print_failures(report.failed)
    if report.stopped:
        console.print(
            f"Stopped: {visible(report.stopped)}. Wait, lower --rate or give --cookies; then run the same again"
        )


def _print_failures(failed: Iterable[Attempt]) -> None:
    """Counts by reason, what it means, and the commonest words of each with an example."""
    groups: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in failed:
        groups[attempt.status].append(attempt)
    console = wide_console()
    for status, attempts in sorted(groups.items(), key=lambda item: -len(item[1])):
        console.print(f"  {len(attempts):,} {status}: {REASONS.get(status, '')}")
        examples = {attempt.reason: attempt.id for attempt in reversed(attempts)}
        for words, number in Counter(attempt.reason for attempt in attempts).most_common(_SHOWN_WORDS):
            console.print(f"      {number:,}  {visible(words)}  e.g. {visible(examples[words])}")
    if groups:
        console.print(f"Try again: avvp download … --retry-failed {','.join(sorted(groups))}")
