"""Tells a backbone that is broken from clips that it cannot stand, before the one is written down as the other."""

from __future__ import annotations

from collections import Counter, defaultdict

from storage.errors import BackboneBroken
from storage.text import kind_of_reason

FIRST_CLIPS = 8
"""A backbone that fails on each of its first clips, with one reason, is broken."""
LEAST_CLIPS = 4
"""So is one that fails on half of a shard with one reason, if that is at least so many."""


class Health:
    """Watches the backbones of one run. Reasons that differ in numbers only are one."""

    def __init__(self) -> None:
        self._first: dict[str, list[str]] = defaultdict(list)
        self._shards: dict[int, dict[str, Counter[str]]] = {}  # by shard and backbone: clips by kind, "" for no failure
        self._words: dict[str, str] = {}

    def note(self, backbone: str, shard: int, reason: str | None) -> None:
        """Note how a backbone ended with a clip.

        Args:
            backbone: its name.
            shard: of the clip.
            reason: why there are no features, ``None`` where there are.

        Raises:
            BackboneBroken: If all of its first clips have failed alike.
        """
        kind = "" if reason is None else kind_of_reason(reason)
        if reason is not None:
            self._words.setdefault(kind, reason)
        self._shards.setdefault(shard, {}).setdefault(backbone, Counter())[kind] += 1
        first = self._first[backbone]
        if len(first) < FIRST_CLIPS:
            first.append(kind)
            if len(first) == FIRST_CLIPS and self._fails_so_far(backbone):
                raise broken(backbone, self._words[kind], f"each of the first {FIRST_CLIPS} clips failed with it")

    def is_doubtful(self, shard: int) -> bool:
        """Whether a shard holds failures of a backbone that has done nothing but fail, on too few clips to judge."""
        return any(
            self._fails_so_far(backbone) and len(self._first[backbone]) < FIRST_CLIPS
            for backbone in self._shards.get(shard, {})
        )

    def check(self, shard: int) -> None:
        """Look at a shard that is about to be committed, and forget it.

        Raises:
            BackboneBroken: If half of its clips failed alike in a backbone.
        """
        for backbone, kinds in self._shards.pop(shard, {}).items():
            clips = kinds.total()
            for kind, failed in kinds.items():
                if kind and failed >= LEAST_CLIPS and 2 * failed >= clips:
                    raise broken(
                        backbone, self._words[kind], f"{failed} of {clips} clips of shard {shard} failed with it"
                    )

    def _fails_so_far(self, backbone: str) -> bool:
        first = self._first[backbone]
        return bool(first) and bool(first[0]) and len(set(first)) == 1


def broken(backbone: str, reason: str, evidence: str) -> BackboneBroken:
    """The error that ends a run."""
    return BackboneBroken(
        f"backbone {backbone}: {reason}: {evidence}. The run stopped and marked no clip as failed for it; what was "
        "committed is safe, and the same command goes on from there"
    )
