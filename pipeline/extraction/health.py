"""Tells a broken backbone from clips that it cannot process."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from storage.errors import BackboneBroken
from storage.text import kind_of_reason

FIRST_CLIPS = 8
"""A backbone that fails on each of its first clips, with one reason, is broken."""
LEAST_CLIPS = 4
"""So is one that fails on half of a shard with one reason, if that is at least so many."""
STOPPED = (
    ". The run stopped and marked no clip as failed for it; what was committed is safe, and the same command goes on "
    "from there"
)


@dataclass
class _Streak:
    """A backbone's failures of one kind since it last worked: for each, the clip's turn and its shard."""

    kind: str
    failures: list[tuple[int, int]] = field(default_factory=list)

    def has(self, shard: int) -> bool:
        """Whether one of them is in a shard."""
        return any(where == shard for _, where in self.failures)


class Health:
    """Watches the backbones of one run. Reasons that differ in numbers only are one."""

    def __init__(self) -> None:
        self._first: dict[str, list[str]] = defaultdict(list)
        self._shards: dict[int, dict[str, Counter[str]]] = {}  # by shard and backbone: clips by kind, "" for no failure
        self._words: dict[str, str] = {}
        self._streaks: dict[str, _Streak] = {}
        self._notes = 0

    def note(self, backbone: str, shard: int, reason: str | None, *, turn: int | None = None) -> None:
        """Note how a backbone ended with a clip.

        Args:
            backbone: its name.
            shard: of the clip.
            reason: why there are no features, ``None`` where there are.
            turn: in which turn the clip was handed to the backbone; by default that in which this is called. Results of
                a batch come later than failures of clips that were handed over after them.

        Raises:
            BackboneBroken: If all of its first clips have failed alike.
        """
        kind = "" if reason is None else kind_of_reason(reason)
        if reason is not None:
            self._words.setdefault(kind, reason)
        self._shards.setdefault(shard, {}).setdefault(backbone, Counter())[kind] += 1
        self._notes += 1
        self._follow(backbone, shard, kind, self._notes if turn is None else turn)
        first = self._first[backbone]
        if len(first) < FIRST_CLIPS:
            first.append(kind)
            if len(first) == FIRST_CLIPS and self._fails_so_far(backbone):
                raise broken(backbone, self._words[kind], f"each of the first {FIRST_CLIPS} clips failed with it")

    def _follow(self, backbone: str, shard: int, kind: str, turn: int) -> None:
        """Note a failure; a success, or a failure of another kind, ends what was noted of earlier turns."""
        streak = self._streaks.setdefault(backbone, _Streak(kind))
        if streak.kind != kind:
            streak.failures = [failure for failure in streak.failures if failure[0] > turn]
        if kind and (streak.kind == kind or not streak.failures):
            streak.kind = kind
            streak.failures.append((turn, shard))

    def is_doubtful(self, shard: int) -> bool:
        """Whether a shard holds failures of a backbone that has done nothing but fail, on too few clips to judge."""
        return any(
            self._fails_so_far(backbone) and len(self._first[backbone]) < FIRST_CLIPS
            for backbone in self._shards.get(shard, {})
        )

    def fails_lately(self, shard: int) -> bool:
        """Whether a shard holds failures of a backbone that has done nothing but fail alike since then.

        Clips come in any order, so a shard may get its last one after a backbone broke. The next success, or a shard
        of which half fails, tells. Shards that are too small for that are told by the first clips after it.
        """
        return any(
            streak.has(shard)
            and (self._shards[shard][backbone].total() >= LEAST_CLIPS or len(streak.failures) < FIRST_CLIPS)
            for backbone, streak in self._streaks.items()
        )

    def forget(self, shard: int) -> None:
        """Drop what is known of a shard that is committed."""
        self._shards.pop(shard, None)
        for streak in self._streaks.values():
            streak.failures = [failure for failure in streak.failures if failure[1] != shard]

    def check(self, shard: int) -> None:
        """Look at a shard whose clips are all in.

        Raises:
            BackboneBroken: If half of its clips failed alike in a backbone.
        """
        for backbone, kinds in self._shards.get(shard, {}).items():
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
    return BackboneBroken(f"backbone {backbone}: {reason}: {evidence}{STOPPED}")
