"""Names of files that belong to clips: a clip's id, or its YouTube id where the clips are LLP's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from storage.errors import InvalidInput
from storage.tables.llp_names import YOUTUBE_ID_LENGTH, parse_llp_name


class FileStems:
    """How the files of a table's clips are named.

    Published LLP folders name a file by the 11 characters of the YouTube id, with which every id of LLP begins. Ids are
    cut so only where every id of more than 11 characters has LLP's form, ``<11 characters>_<start>_<end>``: in any
    other table two clips may begin alike.

    Args:
        ids: of all clips of the table.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = tuple(ids)
        cut = all(len(name) <= YOUTUBE_ID_LENGTH or parse_llp_name(name) for name in self.ids)
        self._short = {name: name[:YOUTUBE_ID_LENGTH] if cut else name for name in self.ids}
        clips: dict[str, list[str]] = {}
        for name, stem in self._short.items():
            clips.setdefault(stem, []).append(name)
        self.shared = {stem: tuple(names) for stem, names in clips.items() if len(names) > 1}
        """Short names that several clips have, with these clips."""

    def short(self, clip: str) -> str:
        """The name that published folders use."""
        return self._short[clip]

    def find(self, clip: str, exists: Callable[[str], bool], *, where: object) -> str | None:
        """The name under which something of a clip is there: its whole id, else the short name.

        Args:
            clip: its id.
            exists: whether there is anything of a name.
            where: folder or file, for messages.

        Raises:
            InvalidInput: If it is there under a short name that other clips have too.
        """
        if exists(clip):
            return clip
        short = self._short[clip]
        if short == clip or not exists(short):
            return None
        self.refuse_shared([short], where=where, remedy="Name each by its whole id")
        return short

    def possible(self, clip: str) -> tuple[str, ...]:
        """Names that something of a clip may have."""
        return tuple(dict.fromkeys((self._short[clip], clip)))

    def clips(self) -> dict[str, str]:
        """The clip of each name that is only one clip's."""
        own = {stem: name for name, stem in self._short.items() if stem not in self.shared}
        return own | {name: name for name in self.ids}

    def refuse_shared(self, names: Iterable[str], *, where: object, remedy: str) -> None:
        """Raise InvalidInput if one of these names is that of several clips."""
        for name in names:
            if name in self.shared:
                first, second, *_ = self.shared[name]
                raise InvalidInput(f"{where}: {first!r} and {second!r} would share the name {name!r}. {remedy}")
