"""Finds media files: by suffix, in a folder and all below, and by name."""

from __future__ import annotations

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeVar

from storage.errors import ClipTableError
from storage.media.addresses import is_tar
from storage.text import name_key, visible


def _suffixes(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMMON_SUFFIXES = _suffixes(".mp4 .mkv .webm .mov .avi .m4v .flv .mpg .mpeg .ts .wmv .3gp")
"""Suffixes of the usual video files."""

VIDEO_SUFFIXES = _suffixes(
    """
    .264 .265 .266 .3g2 .amv .asf .av1 .avc .bik .cdxl .cine .dav .divx .drc .dv .dvr-ms .evc .evo .f4v .flc .fli .gxf
    .h261 .h263 .h264 .h265 .h266 .h26l .hevc .ismv .ivf .ivr .kux .lxf .m1v .m2t .m2ts .m2v .mj2 .mjpeg .mjpg .mk3d
    .mlv .moflex .mp2v .mp4v .mpe .mpv .mts .mxf .mxg .nsv .nut .nuv .obu .ogm .ogv .ogx .qt .rm .rmvb .roq .rv .smk
    .swf .thp .tod .tp .trp .ty .ty+ .usm .vc1 .viv .vivo .vob .vro .vvc .webm .wtv .xvid .y4m
    """
)
"""Suffixes of other video that libav can open."""

SOUND_AND_GIF_SUFFIXES = _suffixes(
    """
    .aa .aa3 .aac .aax .ac3 .ac4 .adx .aif .aifc .aiff .amr .ape .apng .aptx .aptxhd .au .awb .bonk .caf .dff .dfpwm
    .dsf .dts .dtshd .eac3 .ec3 .flac .g722 .g729 .gif .gsm .hca .iamf .ircam .isma .lc3 .m2a .m4a .m4b .m4r .mka .mlp
    .mp1 .mp2 .mp3 .mpa .mpc .msbc .nist .oga .ogg .oma .omg .opus .osq .qcp .qoa .ra .rf64 .rka .sbc .shn .sln .snd
    .sph .spx .tak .thd .tta .voc .vqf .w64 .wav .weba .wma .wv .xwma
    """
)
"""Suffixes of sound and animated pictures (GIF, APNG)."""

_KINDS = (COMMON_SUFFIXES, VIDEO_SUFFIXES, SOUND_AND_GIF_SUFFIXES)
MEDIA_SUFFIXES = COMMON_SUFFIXES | VIDEO_SUFFIXES | SOUND_AND_GIF_SUFFIXES
"""All suffixes of media, lower case. Images, texts, subtitles, playlists and raw samples are not media."""

_SHOWN = 5
AnyPath = TypeVar("AnyPath", bound=PurePath)


@dataclass(frozen=True)
class MediaFolder:
    """The media files of a folder.

    Attributes:
        files: media files in the folder and all below, sorted. Hidden files and folders are skipped.
        notes: what was left out, as sentences.
        tars: tars, sorted, if they were asked for; else they are left out.
    """

    files: tuple[Path, ...]
    notes: tuple[str, ...]
    tars: tuple[Path, ...] = ()


def find_media(folder: Path, *, with_tars: bool = False) -> MediaFolder:
    """Find media in a folder and all folders below. Links to folders are not followed.

    Args:
        folder: to look in.
        with_tars: find tars too.

    Raises:
        ClipTableError: If the folder itself cannot be read.
    """
    unreadable: list[OSError] = []
    files, tars, linked, others = [], [], [], Counter[str]()
    for place, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        linked += [Path(place, name) for name in folders if Path(place, name).is_symlink()]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() in MEDIA_SUFFIXES:
                files.append(path)
            elif with_tars and is_tar(path.name):
                tars.append(path)
            else:
                others[path.suffix.lower() or "no suffix"] += 1
    for problem in unreadable:
        if Path(problem.filename) == folder:
            raise ClipTableError(f"{visible(folder)}: cannot be read: {problem.strerror}") from problem
    closed = [f"{_below(Path(problem.filename), folder)} ({problem.strerror})" for problem in unreadable]
    notes = [
        left_out(others.total(), "file", "no media", counted(others)),
        left_out(len(linked), "folder", "a link, which is not followed", [_below(path, folder) for path in linked]),
        left_out(len(closed), "folder", "not readable", closed),
    ]
    return MediaFolder(tuple(sorted(files)), tuple(filter(None, notes)), tuple(sorted(tars)))


def one_file_each(files: Iterable[AnyPath], folder: AnyPath) -> tuple[dict[str, AnyPath], tuple[str, ...]]:
    """Choose one file for each id, which is the path without the suffix. Also returns notes on what is left out.

    Of several files with one id, a usual video file is taken, else other video, else sound or GIF. The others are left
    out: sound that was extracted from a video often lies beside it.

    Raises:
        ClipTableError: If two files of one kind have the same id. The message names them.
    """
    groups: dict[str, list[AnyPath]] = defaultdict(list)
    for path in files:
        groups[name_key(_id_of(path, folder))].append(path)
    chosen, beside, equal = {}, [], []
    for group in groups.values():
        first, *others = sorted(group, key=lambda path: (media_kind(path.name), path))
        chosen[_id_of(first, folder)] = first
        beside += [_below(path, folder) for path in others]
        if others and media_kind(others[0].name) == media_kind(first.name):
            equal.append(f"{_below(first, folder)} and {_below(others[0], folder)}")
    if equal:
        raise ClipTableError(
            f"{visible(folder)}: {len(equal)} {'id is that' if len(equal) == 1 else 'ids are those'} of two files: "
            f"{some(equal)}. An id is the path without its suffix, and é is é however it is encoded. Rename one, or "
            "give a CSV with the columns id,path"
        )
    return chosen, tuple(filter(None, [left_out(len(beside), "file", "beside video of the same name", beside)]))


def by_stem(files: Iterable[AnyPath]) -> dict[str, AnyPath]:
    """Files by their stem. Of several with one stem, a usual video file is taken first."""
    ordered = sorted(files, key=lambda path: (media_kind(path.name), path), reverse=True)
    return {name_key(path.stem): path for path in ordered}


class DiskNames:
    """Finds files whose names on disk have another Unicode normal form. Lists each folder once."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, str]] = {}

    def find(self, path: Path) -> Path:
        """The path as spelled on disk, or unchanged if there is no such file."""
        if str(path).isascii() or os.path.lexists(path) or path.parent == path:
            return path
        folder = self.find(path.parent)
        if folder not in self._listed:
            with contextlib.suppress(OSError):
                self._listed[folder] = {name_key(entry.name): entry.name for entry in folder.iterdir()}
        name = self._listed.get(folder, {}).get(name_key(path.name))
        return path if name is None else folder / name


def _id_of(path: PurePath, folder: PurePath) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def media_kind(name: str) -> int:
    """0 for a usual video file, 1 for other video, 2 for sound or GIF."""
    return next(number for number, kind in enumerate(_KINDS) if PurePath(name).suffix.lower() in kind)


def _below(path: PurePath, folder: PurePath) -> str:
    return visible(path.relative_to(folder))


def counted(suffixes: Counter[str]) -> list[str]:
    """``.txt (2)``, the most frequent first, safe to print."""
    ordered = sorted(suffixes.items(), key=lambda item: (-item[1], item[0]))
    return [f"{visible(suffix, limit=20)} ({number})" for suffix, number in ordered]


def left_out(number: int, thing: str, why: str, names: Sequence[str]) -> str:
    """``left out 3 files that are no media: .txt (2), .json (1)``; empty where there is none."""
    if not number:
        return ""
    are = f"{thing} that is" if number == 1 else f"{thing}s that are"
    return f"left out {number:,} {are} {why}: {some(names)}"


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
