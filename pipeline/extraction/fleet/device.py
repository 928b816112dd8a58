"""A device of a fleet: its worker, what that has in hand, and how its workers have ended."""

from __future__ import annotations

from pipeline.extraction.fleet.device_process import DeviceProcess
from pipeline.extraction.fleet.errands import Errand
from pipeline.extraction.fleet.problems import unpacked

RESTARTS = 2
_LAST_WORDS_SECONDS = 5.0
_STOP_SECONDS = 20.0
"""For a process that was asked to end: it may be writing a shard."""


class Device:
    """A device, with or without a worker.

    Args:
        label: its name, with a number if several have it.
        start: what its worker is told first, pickled.

    Attributes:
        process: the worker that is up now.
        errands: what it has in hand, by shard.
        is_lost: whether no worker is started any more.
    """

    def __init__(self, label: str, start: bytes) -> None:
        self.label = label
        self._start = start
        self.process: DeviceProcess | None = None
        self.errands: dict[int, Errand] = {}
        self.is_lost = False
        self._ends: list[tuple[str, str]] = []
        self._broken: tuple[str, bool] | None = None

    @property
    def history(self) -> str:
        """How its workers have ended, and where the last one was."""
        hows = [how for how, _ in self._ends]
        times = [f"{how} ({hows.count(how)} times)" if hows.count(how) > 1 else how for how in dict.fromkeys(hows)]
        return f"{', then '.join(times)}, {self._ends[-1][1]}" if self._ends else ""

    def has_room(self, at_once: int) -> bool:
        """Whether its worker may get another shard."""
        return not self.is_lost and len(self.errands) < at_once and not self._has_suspect

    def may_take(self, errand: Errand, at_once: int, *, has_others: bool) -> bool:
        """Whether its worker may get this shard.

        Args:
            errand: a suspect is done alone, and not where it ended a worker last.
            at_once: shards in a worker's hands.
            has_others: whether there are other devices that are not lost.
        """
        if errand.shard in self.errands or not self.has_room(at_once):
            return False
        return not errand.is_suspect or not (self.errands or (has_others and errand.ends[-1][0] == self.label))

    @property
    def _has_suspect(self) -> bool:
        return any(errand.is_suspect for errand in self.errands.values())

    def take(self, errand: Errand) -> bool:
        """Hand the worker a shard; start one if there is none. Returns whether there is a worker."""
        self.errands[errand.shard] = errand
        try:
            self.process = self.process or DeviceProcess(self.label, self._start)
        except OSError as problem:
            self._broken = f"cannot be started: {problem.strerror}", True
            return False
        self.process.send(errand.shard)
        return True

    def listen(self) -> bool:
        """Pass on what the worker says. Returns whether it is still there."""
        message = self.process.receive() if self.process is not None else None
        if message is None:
            return False
        shard, what, arguments = message
        if shard is None:
            self._broken = arguments
        elif what == "finished":
            self.errands.pop(shard).tell(what)
        elif what == "failed":
            self.errands.pop(shard).tell(what, unpacked(*arguments))
        else:
            self.errands[shard].hear(what, *arguments)
        return True

    def bury(self) -> list[Errand]:
        """Note how the worker ended. Returns what it had in hand, with that noted too."""
        how = "cannot be started"
        if self.process is not None:
            how = self.process.end(patience_seconds=_LAST_WORDS_SECONDS)
        how, may_help = self._broken or (how, True)
        errands = [*self.errands.values()]
        begun = [errand for errand in errands if errand.begun]
        at = f"at {'shards' if len(begun) > 1 else 'shard'} {' and '.join(str(errand.shard) for errand in begun)}"
        self._ends.append((how, at if begun else "before it had read a clip"))
        self.is_lost = not may_help or len(self._ends) > RESTARTS
        for errand in begun:
            errand.ends.append((self.label, how))
        fate = "it is not started again" if self.is_lost else "it is started again"
        for told in {errand.told: errand for errand in errands}.values():
            told.tell("worker_ended", self.label, f"{', '.join(self._ends[-1])}; {fate}")
        self.process, self.errands, self._broken = None, {}, None
        return errands

    def ask_to_end(self) -> None:
        """Ask the worker to end; one that is at work lets go of its shards."""
        if self.process is not None and self.errands:
            self.process.ask_to_end()
        elif self.process is not None:
            self.process.send(None)

    def end(self) -> None:
        """Wait for the end of a worker that was asked, or kill it. What it had in hand is forgotten."""
        if self.process is not None:
            self.process.end(patience_seconds=_STOP_SECONDS)
        self.process, self.errands = None, {}
