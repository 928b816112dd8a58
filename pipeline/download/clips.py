"""Downloads the clips of a table, at a given rate.

``FOLDER/<clip id>.mp4`` exists only when it is whole: it is made in ``FOLDER/.partial`` and renamed. So the files say
what is done, and the ledger why the others are not.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.download.ledger import Attempt, DownloadLedger
from pipeline.download.names import file_of, id_problem, is_there, url_of
from pipeline.download.one_clip import DEFAULT_FORMAT, DownloadJob, Outcome
from pipeline.download.pool import DownloadPool
from pipeline.download.reasons import OK, REASONS, WALLS
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.files.local import no_locks

DEFAULT_URL = "https://www.youtube.com/watch?v={id}"
PARTIAL_FOLDER = ".partial"
WALLS_IN_A_ROW = 10
"""After so many refusals in a row the run stops asking: the rest would only be refused too."""
_LOCK_NAME = ".download.lock"
_POLL_SECONDS = 1.0
_WORK_NAME_LETTERS = 32


@dataclass(frozen=True)
class DownloadOptions:
    """How to download.

    Attributes:
        url_template: with ``{id}`` for the video's id, ``{name}`` for the clip's.
        workers: clips at once.
        starts_per_second: of downloads, all workers together; ``None`` for no limit.
        deadline_seconds: for one clip.
        socket_timeout_seconds: for one answer of a server.
        cookies: a cookies file in Netscape format; empty for none.
        format: yt-dlp's choice of streams.
        retry: reasons of failures to try again.
        limit: downloads in this run; ``None`` for all.
    """

    url_template: str = DEFAULT_URL
    workers: int = 4
    starts_per_second: float | None = None
    deadline_seconds: float = 300.0
    socket_timeout_seconds: float = 20.0
    cookies: str = ""
    format: str = DEFAULT_FORMAT
    retry: frozenset[str] = frozenset()
    limit: int | None = None


@dataclass
class DownloadReport:
    """What a folder holds of a table.

    Attributes:
        there: ids of clips whose file is there.
        failed: the last attempt at each clip that was tried and is not there.
        untried: ids of the others.
        stopped: why the run ended before all was tried; empty if it did not.
    """

    there: list[str] = field(default_factory=list)
    failed: list[Attempt] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    stopped: str = ""


Listener = Callable[[Attempt, int, int], None]
"""Called after each attempt with how many of this run are done, and how many there are."""


def download(table: ClipTable, folder: Path, options: DownloadOptions, *, listener: Listener) -> DownloadReport:
    """Download the clips of a table that are not there yet.

    Args:
        table: rows with a span; the video's id is the first 11 characters of an LLP row name, or the clip's id.
        folder: where the clips go; made if absent.
        options: how.
        listener: told of each attempt.

    Raises:
        InvalidInput: If yt-dlp is absent, a row has no span, the URL template is none, another download is filling the
            folder, or its disk is full.
    """
    if importlib.util.find_spec("yt_dlp") is None:
        raise InvalidInput("yt-dlp is not installed. Install it: pip install 'avvp-pipeline[download]'")
    for clip in table:
        url_of(clip, options.url_template)
        if clip.end_seconds is None:
            raise InvalidInput(f"clip {clip.id!r} has no end_seconds: a download needs the span of each clip")
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), _partial_folder(folder) as partial:
        ledger = DownloadLedger(folder)
        wanted = to_try(table, folder, ledger, options.retry)[: options.limit]
        stopped = _run(wanted, folder, partial, ledger, options, listener)
        report = look(table, folder, ledger)
        report.stopped = stopped
        return report


def look(table: ClipTable, folder: Path, ledger: DownloadLedger) -> DownloadReport:
    """What a folder holds of a table."""
    report = DownloadReport()
    for clip in table:
        known = ledger.last.get(clip.id)
        if is_there(clip.id, folder):
            report.there.append(clip.id)
        elif known is not None and known.status != OK:
            report.failed.append(known)
        else:
            report.untried.append(clip.id)
    return report


def to_try(table: ClipTable, folder: Path, ledger: DownloadLedger, retry: frozenset[str]) -> list[Clip]:
    """The clips that are not there, without those that failed for a reason that is not to be retried."""
    wanted = []
    for clip in table:
        known = ledger.last.get(clip.id)
        status = OK if known is None else known.status
        if not is_there(clip.id, folder) and (status in {OK, "rate_limited"} or status in retry):
            wanted.append(clip)
    return wanted


def parse_retry(names: Sequence[str]) -> frozenset[str]:
    """Reasons from ``--retry-failed``; ``all`` means every one.

    Raises:
        InvalidInput: For a reason that there is not.
    """
    wanted = {part.strip() for name in names for part in name.split(",") if part.strip()}
    unknown = sorted(wanted - set(REASONS) - {"all"})
    if unknown:
        raise InvalidInput(f"--retry-failed {unknown[0]!r}: no such reason. There are: all, {', '.join(REASONS)}")
    return frozenset(REASONS) if "all" in wanted else frozenset(wanted)


def parse_rate(text: str) -> float | None:
    """Starts a second from ``5/min``, ``300/hour``, ``2/s``, ``12s`` between two starts, or ``none``.

    Raises:
        InvalidInput: For anything else.
    """
    if text == "none":
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|sec|min|hour|h)|s)?", text)
    if match is None or float(match[1]) == 0:
        raise InvalidInput(f"--rate {text!r}: expected N/min, N/hour, N/s, seconds between two starts (12s), or none")
    number, unit = float(match[1]), match[2]
    if unit is None:
        return 1 / number
    return number / {"s": 1, "sec": 1, "min": 60, "hour": 3600, "h": 3600}[unit]


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which dies with this process."""
    with (folder / _LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise InvalidInput(f"{folder}: another avvp download is filling this folder. Wait for it") from problem
        except OSError as problem:
            raise no_locks(folder / _LOCK_NAME, problem) from problem
        yield


@contextlib.contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """A folder for what is half done: empty at first, gone at the end."""
    partial = folder / PARTIAL_FOLDER
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run(
    wanted: Sequence[Clip],
    folder: Path,
    partial: Path,
    ledger: DownloadLedger,
    options: DownloadOptions,
    listener: Listener,
) -> str:
    """Try each clip once. Returns why it stopped before the end, or nothing."""
    waiting, done, walls, next_start = deque[Clip](), 0, 0, 0.0
    for clip in wanted:
        if problem := id_problem(clip.id):
            done += 1
            listener(_note(ledger, clip.id, Outcome("bad_id", problem)), done, len(wanted))
        else:
            waiting.append(clip)
    gap_seconds = 1 / options.starts_per_second if options.starts_per_second else 0.0
    with DownloadPool(options.workers, deadline_seconds=options.deadline_seconds) as pool:
        while pool.busy or (waiting and walls < WALLS_IN_A_ROW):
            open_ = bool(waiting) and walls < WALLS_IN_A_ROW and pool.has_room
            if open_ and time.monotonic() >= next_start:
                pool.submit(_job(waiting.popleft(), partial, options))
                next_start = time.monotonic() + gap_seconds
                continue
            patience = max(next_start - time.monotonic(), 0.0) if open_ else _POLL_SECONDS
            for job, outcome, seconds in pool.collect(patience):
                attempt = _record(job, outcome, seconds, folder, ledger)
                done += 1
                walls = walls + 1 if attempt.status in WALLS else 0
                listener(attempt, done, len(wanted))
    return f"{WALLS_IN_A_ROW} clips in a row were refused" if waiting else ""


def _job(clip: Clip, partial: Path, options: DownloadOptions) -> DownloadJob:
    return DownloadJob(
        id=clip.id,
        url=url_of(clip, options.url_template),
        start_seconds=clip.start_seconds,
        end_seconds=float(clip.end_seconds or 0.0),
        # Not named by the id, which may hold anything.
        work=partial / hashlib.sha256(clip.id.encode()).hexdigest()[:_WORK_NAME_LETTERS],
        format=options.format,
        cookies=options.cookies,
        socket_timeout_seconds=options.socket_timeout_seconds,
    )


def _record(job: DownloadJob, outcome: Outcome, seconds: float, folder: Path, ledger: DownloadLedger) -> Attempt:
    """Put a finished clip in its place, and the attempt into the ledger."""
    size = 0
    if outcome.file is not None:
        size = outcome.file.stat().st_size
        _place(outcome.file, file_of(job.id, folder))
    shutil.rmtree(job.work, ignore_errors=True)
    attempt = _note(ledger, job.id, outcome, seconds=seconds, size=size)
    if outcome.status == "disk":
        raise InvalidInput(f"{folder}: {outcome.reason}. Mend it and run the same command again")
    return attempt


def _note(ledger: DownloadLedger, clip_id: str, outcome: Outcome, *, seconds: float = 0.0, size: int = 0) -> Attempt:
    """Put an attempt into the ledger."""
    attempt = Attempt(
        id=clip_id,
        status=outcome.status,
        reason=outcome.reason,
        seconds=round(seconds, 3),
        bytes=size,
        attempt=ledger.next_attempt(clip_id),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    ledger.append(attempt)
    return attempt


def _place(file: Path, target: Path) -> None:
    """Rename a file to its final name, durably: a reader sees it whole or not at all."""
    with file.open("rb") as written:
        os.fsync(written.fileno())
    file.replace(target)
