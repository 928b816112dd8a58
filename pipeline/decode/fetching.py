"""Local files for media in buckets and tars: fetched for one clip, removed after it."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.decode.fingerprint import file_state
from pipeline.decode.media import MediaProblem
from pipeline.decode.temporary_copy import CopyFolder, TemporaryCopy
from storage.closing import Closing
from storage.errors import InvalidInput
from storage.media.addresses import Address, in_bucket, is_address, parse_address
from storage.media.opening import NotFetched, fetching, open_file
from storage.media.tars import TarReader
from storage.schema import Status

FOLDER_VARIABLE = "AVVP_FETCHED_MEDIA"
"""Names the folder of a decode worker, so that its parent can remove it when the worker was killed."""
_CHUNK_BYTES = 8 << 20
_READAHEAD_BYTES = 1 << 20
_OPEN_TARS = 4
"""A table goes through one tar after the other, and a worker sees a few of them at a time."""


@contextmanager
def local_media(path: str, *, is_part: bool = False) -> Iterator[str]:
    """A local file with a clip's bytes: the path itself where it is one.

    Args:
        path: of the clip: a local path, or an address.
        is_part: whether the clip is a part of it, so that the next one may be too. A decode worker keeps such a file
            until it fetches another one.

    Raises:
        MediaProblem: ``MISSING`` or ``UNREADABLE`` if it cannot be fetched.
    """
    if not is_address(path):
        yield path
        return
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder:
        fetcher = _of_worker(folder)
        try:
            yield fetcher.fetch(path)
        finally:
            if not is_part:
                fetcher.drop()
        return
    with Fetcher() as fetcher:
        yield fetcher.fetch(path)


@cache
def _of_worker(folder: str) -> Fetcher:
    return Fetcher(Path(folder))


class Fetcher(Closing):
    """Fetches one file at a time, and keeps tars open.

    Args:
        folder: for its files, made with the first one; ``None`` for one of its own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = CopyFolder(folder)
        self._source = ""
        self._copy: TemporaryCopy | None = None
        self._tars: OrderedDict[str, TarReader] = OrderedDict()

    def fetch(self, source: str) -> str:
        """Fetch a file, unless it is the one at hand. Returns where it is.

        Raises:
            MediaProblem: If it cannot be had.
        """
        if self._copy is None or self._source != source:
            self.drop()
            try:
                self._copy, self._source = self._fetched(parse_address(source)), source
            except NotFetched as problem:
                status = Status.MISSING if problem.missing else Status.UNREADABLE
                raise MediaProblem(status, problem.reason) from None
            except InvalidInput as problem:
                raise MediaProblem(Status.UNREADABLE, str(problem)) from None
        return str(self._copy.path)

    def drop(self) -> None:
        """Remove the file."""
        copy, self._copy = self._copy, None
        if copy is not None:
            copy.close()

    def close(self) -> None:
        """Remove everything."""
        self.drop()
        while self._tars:
            self._tars.popitem()[1].close()
        self._folder.close()

    def _fetched(self, address: Address) -> TemporaryCopy:
        suffix = PurePosixPath(address.name).suffix
        if not address.member:
            file, size = open_file(address.file, block_bytes=_READAHEAD_BYTES)
            with file:
                return self._folder.copy(_chunks(file, size), size=size, suffix=suffix)
        key = _key(address.file)
        try:
            tar = self._tar(key, address.file)
            member = tar.find(address.member)
            if member is None:
                raise NotFetched("the tar has no file of this name", missing=True)
            chunks = tar.chunks(member, chunk_bytes=_CHUNK_BYTES)
            return self._folder.copy(chunks, size=member.size, suffix=suffix)
        except NotFetched as problem:
            if not problem.missing and key in self._tars:  # it may be whole when the next clip asks
                self._tars.pop(key).close()
            raise

    def _tar(self, key: str, file: str) -> TarReader:
        """The tar, still open from an earlier clip if it is the same."""
        if key not in self._tars:
            try:
                self._tars[key] = TarReader(file)
            except NotFetched as problem:
                raise NotFetched(f"its tar: {problem.reason}", missing=problem.missing) from None
            if len(self._tars) > _OPEN_TARS:
                self._tars.popitem(last=False)[1].close()
        self._tars.move_to_end(key)
        return self._tars[key]


def _key(file: str) -> str:
    """Tells a tar from the one that was there before. Of a tar in a bucket, its library tells while it is open."""
    if in_bucket(file):
        return file
    try:
        return "\0".join((file, *map(str, file_state(file))))
    except (OSError, ValueError):
        return file


def _chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The bytes of an object, as many as it was said to have."""
    done = 0
    while done < size:
        with fetching():
            data = file.read(min(_CHUNK_BYTES, size - done))
        if not data:
            raise NotFetched(f"the storage gave {done:,} of {size:,} bytes")
        done += len(data)
        yield data
