"""A shard that somebody wants done, on its way through the workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from pipeline.extraction.reporting import Reporter
from storage.errors import BackboneBroken

_MOST_ENDS = 3


@dataclass(frozen=True)
class Event:
    """What became known of a shard.

    Attributes:
        shard: its number.
        what: the name of a method of :class:`~pipeline.extraction.reporting.Reporter`, ``finished`` or ``failed``.
        arguments: of the method; the exception of ``failed``.
    """

    shard: int
    what: str
    arguments: tuple[Any, ...] = ()

    @property
    def is_last(self) -> bool:
        """Whether the shard is done or will not be."""
        return self.what in ("finished", "failed")

    def pass_on(self, reporter: Reporter) -> None:
        """Tell a reporter, unless it is the last.

        Raises:
            BaseException: That of ``failed``.
        """
        if self.what == "failed":
            (problem,) = self.arguments
            raise problem
        if self.what == "planned":
            plan, shards = self.arguments
            reporter.planned(plan, shards=shards)
        elif self.what != "finished":
            getattr(reporter, self.what)(*self.arguments)


@dataclass(eq=False)
class Errand:
    """A shard to do.

    Attributes:
        shard: its number.
        told: gets the events.
        begun: whether the worker that has it now has read a clip of it.
        ends: of workers that were at it, one after the other: the device's label, and how it ended.
        heard: what the worker that has it now has said of it: of which plan, and of which clips.
        known: what earlier ones had said; it is not told again.
    """

    shard: int
    told: SimpleQueue[Event]
    begun: bool = False
    ends: list[tuple[str, str]] = field(default_factory=list)
    heard: set[tuple[str, int]] = field(default_factory=set)
    known: frozenset[tuple[str, int]] = frozenset()

    @property
    def is_suspect(self) -> bool:
        """Whether it may be what ends workers: then it is done alone, so that the next end tells."""
        return bool(self.ends)

    @property
    def is_poison(self) -> bool:
        """Whether it has ended three workers in a row, and not all on one device: that may be the device's fault."""
        return len(self.ends) >= _MOST_ENDS and len({label for label, _ in self.ends}) > 1

    def tell(self, what: str, *arguments: Any) -> None:
        """Put an event where it is wanted."""
        self.told.put(Event(self.shard, what, arguments))

    def hear(self, what: str, *arguments: Any) -> None:
        """Tell what a worker says, unless the one before it has said so."""
        self.begun |= what == "clip_read"
        if what in ("planned", "clip_read", "clip_done"):
            key = what, arguments[0] if what != "planned" else 0
            self.heard.add(key)
            if key in self.known:
                return
        self.tell(what, *arguments)

    def requeue(self) -> None:
        """Another worker will get it."""
        self.begun = False
        self.known |= self.heard

    def fail(self, problem: BaseException) -> None:
        """It will not be done."""
        self.tell("failed", problem)

    def give_up(self) -> None:
        """Nobody gets it any more."""
        ends = ", then ".join(f"{label}: {how}" for label, how in self.ends)
        self.fail(
            ShardGivenUp(
                f"shard {self.shard} ended {len(self.ends)} workers in a row ({ends}). It was given up, and none of "
                "its clips marked as failed; look at its clips, or run the same again"
            )
        )


class ShardGivenUp(BackboneBroken):
    """A shard that ends whatever worker is at it. The others can still be done."""
