"""The ledger of a download: ``download.jsonl``, one line an attempt, append-only."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pipeline.download.reasons import OK
from storage.errors import InvalidInput

LEDGER_NAME = "download.jsonl"


@dataclass(frozen=True)
class Attempt:
    """One try at one clip.

    Attributes:
        id: of the clip.
        status: ``ok`` or a name in :data:`~pipeline.download.reasons.REASONS`.
        reason: yt-dlp's or ffmpeg's own words; for ``ok``, what is worth knowing about the clip, if anything.
        seconds: that the attempt took.
        bytes: of the clip's file; 0 if there is none.
        attempt: 1 for the first.
        finished: when, UTC, ISO 8601.
    """

    id: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    bytes: int = 0
    attempt: int = 1
    finished: str = ""


class DownloadLedger:
    """The attempts of a folder.

    Args:
        folder: where the clips go.

    Attributes:
        path: of the ledger.
        last: the last attempt at each clip.

    Raises:
        InvalidInput: If the ledger has lines that are none of ours.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LEDGER_NAME
        self.last: dict[str, Attempt] = {}
        self._ends_in_newline = True
        data = self.path.read_bytes() if self.path.exists() else b""
        *lines, torn = data.split(b"\n")
        # A kill in mid-write leaves the last line torn: the attempt counts as never made.
        self._ends_in_newline = not torn
        known = {field.name for field in fields(Attempt)}
        for number, line in enumerate(lines, start=1):
            attempt = _parse(line, known)
            if attempt is not None:
                self.last[attempt.id] = attempt
            elif line.strip() and not line.startswith(b"{"):
                raise InvalidInput(f"{self.path} line {number}: expected an attempt as JSON. Move the file away")

    def append(self, attempt: Attempt) -> None:
        """Add one attempt, durably, in one write."""
        line = json.dumps(asdict(attempt), ensure_ascii=False).encode() + b"\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, line if self._ends_in_newline else b"\n" + line)
            os.fsync(handle)
        finally:
            os.close(handle)
        self._ends_in_newline = True
        self.last[attempt.id] = attempt

    def next_attempt(self, clip_id: str) -> int:
        """Number of the next attempt at a clip."""
        before = self.last.get(clip_id)
        return 1 if before is None else before.attempt + 1

    def failed(self) -> dict[str, Attempt]:
        """The clips whose last attempt failed."""
        return {name: attempt for name, attempt in self.last.items() if attempt.status != OK}


def _parse(line: bytes, known: set[str]) -> Attempt | None:
    """The attempt, or ``None`` for a line that was torn or is none of ours."""
    try:
        row = json.loads(line)
        return Attempt(**{key: value for key, value in row.items() if key in known})
    except (ValueError, TypeError, AttributeError):
        return None
