"""Lists the media in tars, which are clips in the order of the tar, named as WebDataset names samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from storage.errors import ClipTableError, InvalidInput
from storage.media.addresses import Address, in_bucket, leads_out, member_key, parse_address
from storage.media.opening import NotFetched
from storage.media.tars import TarDamaged, TarReader
from storage.tables.media_files import MEDIA_SUFFIXES, counted, left_out, media_kind, some
from storage.text import count, name_key, visible

_READERS = 16
"""Tars of a bucket that are read at a time: a header is a request."""


@dataclass(frozen=True)
class TarMedia:
    """A media file in a tar.

    Attributes:
        key: its name up to the first dot, with its folders, as WebDataset's samples.
        address: of it.
    """

    key: str
    address: str


@dataclass
class _Listing:
    """What one tar holds."""

    tar: str
    media: list[TarMedia] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    damage: str = ""


def tar_media(tars: Sequence[str]) -> tuple[list[TarMedia], tuple[str, ...]]:
    """The media files of tars, one a sample: a usual video file, else other video, else sound or GIF.

    Args:
        tars: local paths, or addresses in a bucket.

    Returns:
        Them in the order of the tars and in each tar's own, and notes on what was left out.

    Raises:
        ClipTableError: If a tar cannot be opened, a sample has two files of one kind, or two tars have one sample.
    """
    if any(in_bucket(tar) for tar in tars):
        with ThreadPoolExecutor(min(_READERS, len(tars))) as pool:
            listings = list(pool.map(_listed, tars))
    else:
        listings = [_listed(tar) for tar in tars]
    _refuse_shared(listings)
    return [item for listing in listings for item in listing.media], _notes(listings)


def _listed(tar: str) -> _Listing:
    found, samples = _Listing(tar), dict[str, dict[str, str]]()
    try:
        with TarReader(tar) as reader:
            for member in reader.members():
                _take(member_key(member.name), member.name, found, samples)
    except TarDamaged as problem:
        found.damage = problem.reason
    except NotFetched as problem:
        raise ClipTableError(f"{visible(tar)}: {problem.reason}") from None
    for key, files in samples.items():
        first, *others = sorted(files, key=lambda name: (media_kind(name), name))
        if others and media_kind(others[0]) == media_kind(first):
            raise ClipTableError(
                f"{visible(tar)}: {visible(first)} and {visible(others[0])} are of one sample, named by them up to "
                "the first dot. Give a CSV with the columns id,path, the paths tar://MEMBER::TAR"
            )
        found.media.append(TarMedia(key, files[first]))
        found.beside += others
    return found


def _take(name: str, raw: str, found: _Listing, samples: dict[str, dict[str, str]]) -> None:
    """Put a member where it belongs."""
    base = name.rpartition("/")[2]  # text, not Path: there may be millions
    if base.startswith("."):
        return
    dot = base.rfind(".")
    suffix = base[dot:].lower() if 0 < dot < len(base) - 1 else ""
    if suffix not in MEDIA_SUFFIXES:
        found.others[suffix or "no suffix"] += 1
    elif leads_out(raw) or not _is_address(Address(found.tar, name)):
        found.odd.append(raw)
    else:
        key = name[: len(name) - len(base)] + base.partition(".")[0]
        samples.setdefault(key, {})[name] = str(Address(found.tar, name))


def _is_address(address: Address) -> bool:
    """Whether a member can be told from its tar, and be kept in a store."""
    try:
        str(address).encode()
        return parse_address(str(address)) == address
    except (InvalidInput, UnicodeEncodeError):
        return False


def _refuse_shared(listings: Iterable[_Listing]) -> None:
    tar_of: dict[str, str] = {}
    for listing in listings:
        for item in listing.media:
            other = tar_of.setdefault(name_key(item.key), listing.tar)
            if other != listing.tar:
                raise ClipTableError(
                    f"{visible(other)} and {visible(listing.tar)} both have the sample {visible(item.key)}. Give a CSV "
                    "with the columns id,path, the paths tar://MEMBER::TAR"
                )


def _notes(listings: Sequence[_Listing]) -> tuple[str, ...]:
    others = sum((listing.others for listing in listings), Counter[str]())
    odd = [visible(name) for listing in listings for name in listing.odd]
    beside = [visible(name) for listing in listings for name in listing.beside]
    notes = [
        left_out(others.total(), "member", "no media", counted(others)),
        left_out(len(beside), "member", "beside video of the same name", beside),
        left_out(len(odd), "member", "named so that it would leave the tar, or that no table can hold", odd),
    ]
    if cut := [listing for listing in listings if listing.damage]:
        where = [f"{visible(one.tar)} ({one.damage}, after {count(len(one.media), 'clip')})" for one in cut]
        notes.append(f"left out what follows the damage in {count(len(cut), 'tar')}: {some(where)}")
    return tuple(filter(None, notes))
