"""Addresses of media that are no local files: ``s3://bucket/a.mp4``, and ``tar://a.mp4::/data/000.tar``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from storage.errors import InvalidInput
from storage.text import visible

PACKAGES: Mapping[str, str] = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "hf": "huggingface_hub",
    "memory": "",
}
"""Kinds of buckets that media are read from, and what has to be installed for each beside fsspec.

Web addresses and logins to other machines are not among them: a table from elsewhere must not make this machine call
any server it names.
"""

TAR_SUFFIX = ".tar"
_TAR, _CHAIN, _FILE = "tar://", "::", "file://"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SECRET = re.compile(r"[?&](?:x-amz-|x-goog-|awsaccesskeyid=|signature=|sig=|token=|password=|secret)", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """Where a clip's bytes are.

    Attributes:
        file: a local path, or an address in a bucket.
        member: a file of the tar that ``file`` is; empty where ``file`` is the media itself.
    """

    file: str
    member: str = ""

    def __str__(self) -> str:
        return f"{_TAR}{self.member}{_CHAIN}{self.file}" if self.member else self.file

    @property
    def name(self) -> str:
        """The name of the media file, without folders."""
        return PurePosixPath(self.member or self.file).name

    @property
    def stem(self) -> str:
        """A clip's id, where a table gives none: for a member, up to the first dot, as WebDataset's keys."""
        return self.name.partition(".")[0] if self.member else PurePosixPath(self.name).stem


def is_address(text: str) -> bool:
    """Whether a clip's path is none of a local file. Local paths of clips are absolute, so that they begin with /."""
    return "://" in text and _SCHEME.match(text) is not None


def in_bucket(text: str) -> bool:
    """Whether a file is in a bucket, and not on this machine."""
    return is_address(text) and not text.startswith((_TAR, _FILE))


def parse_address(text: str) -> Address:
    """Take an address apart. A local path is one too.

    Raises:
        InvalidInput: If it names no kind of storage that media are read from, or holds a password. The message does
            not repeat the address then.
    """
    if not text.startswith(_TAR):
        return Address(_checked_file(text))
    member, chain, file = text.removeprefix(_TAR).rpartition(_CHAIN)
    if not chain or not file:
        raise InvalidInput(f"expected tar://MEMBER::TAR, such as tar://a.mp4::/data/000.tar, got {visible(text)!r}")
    if not member_key(member) or is_address(member):
        raise InvalidInput("expected the name of a file before :: and one tar behind it")
    return Address(_checked_file(file), member)


def _checked_file(text: str) -> str:
    scheme = _SCHEME.match(text)
    if scheme is None:
        return text
    kind = scheme[1].lower()
    if kind == "file":
        return os.path.abspath(text[len(_FILE) :])
    if kind not in PACKAGES:
        known = ", ".join(f"{name}://" for name in ("tar", *PACKAGES) if name != "memory")
        raise InvalidInput(f"{kind}:// is no storage that media are read from. Expected a local path or {known}")
    if (_user_of(text) and ":" in _user_of(text)) or _SECRET.search(text):
        raise InvalidInput(
            f"this {kind}:// address holds a password or a signature, which would be written to the store. Leave it "
            "out; credentials come from the environment"
        )
    return text


def _user_of(text: str) -> str:
    return urlsplit(text).netloc.rpartition("@")[0]


def member_key(name: str) -> str:
    """The form in which members of a tar are looked up: ``./a.mp4``, ``/a.mp4`` and ``a.mp4`` are one."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join(parts)


def leads_out(name: str) -> bool:
    """Whether a member's name would lead out of the folder that a tar is unpacked in."""
    return name.startswith("/") or ".." in name.split("/")


def is_tar(text: str) -> bool:
    """Whether a file is a tar, by its name."""
    return Path(text).suffix.lower() == TAR_SUFFIX
