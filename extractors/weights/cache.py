"""The weights cache: its folder, digests, and downloads."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from storage.errors import WeightsError
from storage.text import visible

TIMEOUT_SECONDS = 8.0
"""For connecting, and for any pause in the transfer. There are no retries."""

_BLOCK_BYTES = 1 << 20


def cache_folder() -> Path:
    """``$AVVP_CACHE``, else ``$XDG_CACHE_HOME/avvp-pipeline/weights``, else ``~/.cache/avvp-pipeline/weights``."""
    chosen = os.environ.get("AVVP_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "avvp-pipeline" / "weights"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal.

    Raises:
        WeightsError: If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from None


def remembered_sha256(path: Path) -> str:
    """SHA-256 of a cached file, from ``<file>.sha256`` if size and time still agree, else computed and noted there."""
    stat = path.stat()
    stamp = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    sidecar = path.with_name(path.name + ".sha256")
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError, RecursionError):
        note = json.loads(sidecar.read_text())
        if {key: note.get(key) for key in stamp} == stamp and len(note.get("sha256", "")) == 64:
            return str(note["sha256"])
    digest = file_sha256(path)
    with contextlib.suppress(OSError):  # a read-only cache only costs the hash again
        _replace_text(sidecar, json.dumps({"sha256": digest, **stamp}))
    return digest


def download(url: str, target: Path, *, sha256: str = "") -> str:
    """Fetch a file once into the cache; nothing is left behind unless it is whole and its digest is right.

    Args:
        url: where it is.
        target: where it goes.
        sha256: expected digest or its first digits; ``""`` accepts any.

    Returns:
        Its SHA-256.

    Raises:
        WeightsError: If the folder cannot be written, the transfer fails or breaks off, or the digest is wrong.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=target.name + ".", suffix=".part")
    except OSError as error:
        raise WeightsError(f"{target.parent}: cannot be written: {error.strerror or error}. Set AVVP_CACHE.") from None
    os.close(handle)
    try:
        digest = _transfer(url, Path(partial), label=target.name)
        if not digest.startswith(sha256.lower()):
            raise WeightsError(f"{url}: sha256 is {digest}, expected {sha256}. The file was not kept.")
        Path(partial).replace(target)
    except OSError as error:
        raise WeightsError(f"{url}: {_reason(error)}") from None
    finally:
        Path(partial).unlink(missing_ok=True)
    return digest


def _transfer(url: str, partial: Path, *, label: str) -> str:
    """Copy ``url`` to ``partial``; returns the SHA-256 of what came."""
    request = urllib.request.Request(url, headers={"User-Agent": "avvp-pipeline"})
    digest, received = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response, partial.open("wb") as file:
            expected = int(response.headers.get("Content-Length") or 0)
            while block := response.read(_BLOCK_BYTES):
                file.write(block)
                digest.update(block)
                received += len(block)
                _show_progress(label, received, expected)
    except (http.client.HTTPException, ValueError) as error:
        raise WeightsError(f"{url}: {_reason(error)}") from None
    finally:
        _show_progress("", 0, 0)
    if expected and received != expected:
        raise WeightsError(f"{url}: broke off after {received} of {expected} bytes")
    return digest.hexdigest()


def _show_progress(label: str, received: int, expected: int) -> None:
    """One line on a terminal that rewrites itself; an empty label clears it."""
    if not sys.stderr.isatty():
        return
    share = f" of {expected / 1e6:.0f}" if expected else ""
    sys.stderr.write(f"\r\x1b[K{visible(label)}: {received / 1e6:.0f}{share} MB" if label else "\r\x1b[K")
    sys.stderr.flush()


def _reason(error: Exception) -> str:
    """The few words that a person needs from a network error."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"cannot be reached ({error.reason})"
    return f"cannot be fetched ({error or type(error).__name__})"


def _replace_text(path: Path, text: str) -> None:
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)
