"""A log of internal errors with tracebacks, beside the store."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from storage.text import without_passwords


def error_log_path(store_url: str) -> Path:
    """Where a store's internal errors are written down.

    Beside a local store, ``llp.zarr.log``: Zarr and ``avvp verify`` look at everything inside. For a remote one,
    ``$XDG_STATE_HOME/avvp-pipeline/NAME.log``, else in ``~/.local/state/avvp-pipeline``.
    """
    text = store_url.removeprefix("file://").rstrip("/")
    if "://" not in text:
        return Path(f"{text}.log").absolute()
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text.partition("://")[2])
    return Path(base).expanduser() / "avvp-pipeline" / f"{name}.log"


class ErrorLog:
    """Appends entries to a file, which is made when there is something to write. Several processes may share one.

    Args:
        path: the file; ``None`` to write nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def write(self, clip_id: str, media: str, text: str) -> str:
        """Add an entry.

        Args:
            clip_id: of the clip.
            media: its file.
            text: a traceback.

        Returns:
            In words, where it is, or why it is nowhere: the run goes on without.
        """
        if self._path is None:
            return "not logged"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        said = without_passwords(f"{now} clip {clip_id!r}, file {media!r}\n{text.rstrip()}\n\n")
        entry = said.encode(errors="backslashreplace")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                file.write(entry)
        except OSError as problem:
            return f"not logged, {self._path}: {problem.strerror}"
        return f"logged in {self._path}"
