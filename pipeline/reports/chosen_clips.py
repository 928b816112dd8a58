"""The clips that a user names, and the files that are named after them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from storage.errors import InvalidInput


def chosen_clips(asked: Sequence[str], ids: Sequence[str], *, split: str) -> list[str]:
    """Full ids of clips.

    Args:
        asked: ids, or what they begin with.
        ids: that there are.
        split: for messages.

    Raises:
        InvalidInput: If none is asked for, or one is not there or begins several ids.
    """
    if not asked:
        raise InvalidInput(f"--clip: give the id of a clip of {split}, e.g. {ids[0]}, as often as there are clips")
    return list(dict.fromkeys(_one(name, ids, split) for name in asked))


def _one(asked: str, ids: Sequence[str], split: str) -> str:
    if asked in ids:
        return asked
    found = [name for name in ids if asked and name.startswith(asked)]
    if not found:
        raise InvalidInput(f"--clip {asked}: no such clip of {split} with predictions, e.g. {ids[0]}")
    if len(found) > 1:
        raise InvalidInput(f"--clip {asked}: {len(found)} clips of {split} begin so, e.g. {', '.join(found[:2])}")
    return found[0]


def file_name(clip: str) -> str:
    """A name for a file that no other clip has; letters that file systems may not take are written as ``%2F``."""
    return quote(clip, safe=" ")
