"""Where the media of a table are: a folder, with tars in it or not, a folder of a bucket, or a tar."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from storage.errors import ClipTableError, InvalidInput
from storage.media.addresses import Address, in_bucket, is_address, is_tar, parse_address
from storage.media.opening import NotFetched, fetching, file_system
from storage.tables.media_files import MEDIA_SUFFIXES, DiskNames, by_stem, find_media
from storage.tables.tar_media import tar_media
from storage.text import name_key, visible


@dataclass(frozen=True)
class BucketFolder:
    """The files of a folder in a bucket.

    Attributes:
        media: media files in it and all below, sorted, by their name below it, with their addresses.
        tars: addresses of tars.
        others: how many other files there are.
    """

    media: dict[PurePosixPath, str]
    tars: tuple[str, ...]
    others: int


def find_in_bucket(url: str) -> BucketFolder:
    """Find media in a folder of a bucket and all below. Hidden files and folders are skipped.

    Raises:
        ClipTableError: If it cannot be listed.
    """
    try:
        files, base = file_system(url)
        with fetching():
            names = sorted(str(name) for name in files.find(base))
            found = {name: str(files.unstrip_protocol(name)) for name in names}
    except NotFetched as problem:
        raise ClipTableError(f"{visible(url)}: {problem.reason}") from None
    media: dict[PurePosixPath, str] = {}
    tars, others = [], 0
    for name, address in found.items():
        below = PurePosixPath(name.removeprefix(base.rstrip("/")).lstrip("/"))
        if any(part.startswith(".") for part in below.parts):
            continue
        if below.suffix.lower() in MEDIA_SUFFIXES:
            media[below] = address
        elif is_tar(below.name):
            tars.append(address)
        else:
            others += 1
    return BucketFolder(media, tuple(tars), others)


class MediaPlace:
    """Where the media of a table are.

    Args:
        text: a folder, a tar, or the address of a folder or a tar in a bucket.

    Raises:
        ClipTableError: If there is no such folder.
        InvalidInput: If it is an address that media are not read from.
    """

    def __init__(self, text: str | os.PathLike[str]) -> None:
        self.text = os.fspath(text)
        self._disk = DiskNames()
        if is_address(self.text):
            address = parse_address(self.text)
            if address.member:
                raise InvalidInput(f"{visible(self.text)}: is one file of a tar. Give the tar, or its folder")
            self._in_bucket, self._base = in_bucket(address.file), address.file
        else:
            self._in_bucket, self._base = False, str(Path(text).expanduser())
        self._is_tar = is_tar(self._base) and not Path(self._base).is_dir()
        # Methods of Path raise over a name that is too long.
        if not self._in_bucket and not (os.path.isfile if self._is_tar else os.path.isdir)(self._base):
            raise ClipTableError(f"{visible(self._base)}: no such folder of media")

    def path_of(self, name: str) -> str:
        """The path of a clip: of a file's name in this place, of an absolute path, or of an address.

        Raises:
            InvalidInput: If it is an address that media are not read from.
        """
        if is_address(name):
            address = parse_address(name)
            return str(address if is_address(address.file) else replace(address, file=self._file(address.file)))
        return str(Address(self._file(""), name)) if self._is_tar else self._file(name)

    def _file(self, name: str) -> str:
        if self._is_tar:
            return self._base if self._in_bucket else os.path.abspath(self._base)
        if self._in_bucket and not name.startswith("/"):
            return f"{self._base.rstrip('/')}/{name}"
        return str(self._disk.find(Path(os.path.abspath(Path(self._base, name)))))

    @cached_property
    def by_stem(self) -> dict[str, str]:
        """Paths of clips by the stem of their file. Files come before files in tars.

        Raises:
            ClipTableError: If the place cannot be listed.
        """
        if self._is_tar:
            files, tars = {}, [self._file("")]
        elif self._in_bucket:
            there = find_in_bucket(self._base)
            files = {stem: there.media[name] for stem, name in by_stem(there.media).items()}
            tars = list(there.tars)
        else:
            folder = find_media(Path(self._base), with_tars=True)
            files = {stem: os.path.abspath(path) for stem, path in by_stem(folder.files).items()}
            tars = [os.path.abspath(path) for path in folder.tars]
        packed = tar_media(tars)[0] if tars else []
        in_tars = {name_key(PurePosixPath(parse_address(item.address).member).stem): item.address for item in packed}
        return in_tars | files
