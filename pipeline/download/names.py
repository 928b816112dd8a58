"""Where a clip's video is asked for, and which file it becomes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from storage.clips import Clip
from storage.errors import InvalidInput
from storage.tables.llp_names import parse_llp_name

_LONGEST_NAME = 255
"""Bytes of a file's name, on every disk in use."""


def url_of(clip: Clip, template: str) -> str:
    """Where a clip's video is. Ids are quoted: none adds parameters or leads to another place.

    Raises:
        InvalidInput: If the template is none.
    """
    parsed = parse_llp_name(clip.id)
    video = parsed.youtube_id if parsed else clip.id
    try:
        url = template.format(id=quote(video, safe=""), name=quote(clip.id, safe=""))
    except (KeyError, IndexError, ValueError) as problem:
        raise InvalidInput(
            f"--url-template {template!r}: expected {{id}} or {{name}} in it, got {problem}"
        ) from problem
    if url == template or "://" not in url:
        raise InvalidInput(f"--url-template {template!r}: expected a URL with {{id}} or {{name}} in it")
    return url


def file_of(clip_id: str, folder: Path) -> Path:
    """A clip's file when it is whole."""
    return folder / f"{clip_id}.mp4"


def is_there(clip_id: str, folder: Path) -> bool:
    """Whether a clip's file is there, and so whole."""
    return not id_problem(clip_id) and file_of(clip_id, folder).is_file()


def id_problem(clip_id: str) -> str:
    """Why a clip's id cannot be the name of a file; empty where it can."""
    if "/" in clip_id or "\0" in clip_id or clip_id.startswith("."):
        return "an id that names a file can have no '/' and no '.' in front"
    size = len(file_of(clip_id, Path()).name.encode())
    return f"its file's name would have {size} bytes, a disk takes {_LONGEST_NAME}" if size > _LONGEST_NAME else ""
