"""Opens files on this machine and in buckets for reading, and says in our own words why one cannot be had."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from storage.errors import InvalidInput
from storage.media.addresses import PACKAGES, in_bucket
from storage.text import visible

_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "ProfileNotFound",
                   "DefaultCredentialsError", "CredentialRetrievalError", "InvalidCredentials")  # fmt: skip
_NO_CONNECTION = ("ConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "TimeoutError", "ConnectorError",
                  "EndpointConnectionError", "ServerDisconnectedError", "FSTimeoutError")  # fmt: skip


class NotFetched(Exception):
    """Why a file or a part of it cannot be had.

    Args:
        reason: words for people, without the address and without any words of the library, which may hold keys,
            signed addresses and the like.
        missing: whether there is no such file.
    """

    def __init__(self, reason: str, *, missing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.missing = missing


@contextmanager
def fetching() -> Iterator[None]:
    """Turn whatever a storage's library raises into NotFetched.

    Raises:
        NotFetched: Instead of it, without its words.
    """
    try:
        yield
    except (NotFetched, InvalidInput, MemoryError):
        raise
    except Exception as problem:  # noqa: BLE001 - each storage has a library of its own, with errors of its own
        raise _why(problem) from None


def _why(problem: Exception) -> NotFetched:
    names = {kind.__name__ for kind in type(problem).__mro__}
    if isinstance(problem, FileNotFoundError):
        return NotFetched("no such object, or no such bucket", missing=True)
    if isinstance(problem, (IsADirectoryError, NotADirectoryError)):
        return NotFetched("is a folder, not a file", missing=True)
    if isinstance(problem, PermissionError):
        return NotFetched("the storage refused access. Check the credentials and their rights")
    if names & set(_NO_CREDENTIALS):
        return NotFetched("no credentials for this storage. Set AWS_PROFILE, or what the service reads")
    if names & set(_NO_CONNECTION):
        return NotFetched("the storage cannot be reached, or does not answer")
    return NotFetched(f"the storage did not give it ({type(problem).__name__})")


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of an address in a bucket, and the path in it.

    Raises:
        NotFetched: If the package for it is not installed, or it cannot be set up.
    """
    import fsspec

    kind = url.partition("://")[0].lower()
    with fetching():
        try:
            found, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError:
            raise NotFetched(needed_package(kind)) from None
        return found, str(path)


def needed_package(kind: str) -> str:
    """What to tell where the package for a kind of bucket is not installed."""
    package = PACKAGES.get(kind, "")
    how = '"avvp-pipeline[s3]"' if package == "s3fs" else package
    return f"{kind}:// needs {package}, which is not installed: pip install {how}"


def open_file(file: str, *, block_bytes: int) -> tuple[IO[bytes], int]:
    """Open a file on this machine or in a bucket. Returns it and its size in bytes.

    Args:
        file: a local path, or an address in a bucket.
        block_bytes: how much more than was asked for is fetched from a bucket at a time.

    Raises:
        NotFetched: If it cannot be opened.
    """
    if not in_bucket(file):
        return _open_local(file)
    files, path = file_system(file)
    with fetching():
        opened = files.open(path, "rb", block_size=block_bytes, cache_type="readahead")
        size = getattr(opened, "size", None)
        return opened, int(files.size(path) if size is None or callable(size) else size)


def _open_local(path: str) -> tuple[IO[bytes], int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for a writer
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise NotFetched("is no file", missing=True)
        return os.fdopen(descriptor, "rb"), facts.st_size
    except FileNotFoundError:
        raise NotFetched("no such file", missing=True) from None
    except (OSError, ValueError) as problem:
        words = problem.strerror if isinstance(problem, OSError) else ""
        raise NotFetched(visible(words or "cannot be opened").lower()) from None
