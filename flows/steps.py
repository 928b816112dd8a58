"""What a flow of flows shows of the flows that it runs: a bar, log lines, and a table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State

from flows.bars import Log, ProgressBar
from storage.text import visible

_EVERY_SECONDS = 10.0


Step = tuple[str, Callable[[], State[Any]]]
"""Its name, and what runs it."""


class Steps:
    """The steps of a flow, one after the other. After one that did not complete, the others are left out.

    Args:
        steps: in order.
        title: beside the bar.
        key: under which the dashboard lists bar and table.
        log: of the flow that runs them.
    """

    def __init__(self, steps: Sequence[Step], *, title: str, key: str, log: Log) -> None:
        self._steps = steps
        self._key = key
        self._log = log
        self._bar = ProgressBar(len(steps), title, key=f"{key}-progress", log=log)
        self._at = 0
        self._said = time.monotonic()

    def run(self) -> dict[str, State[Any]]:
        """Run them, and put a table of what they came to beside the run.

        Returns:
            The final states of the steps that were run, in order.
        """
        ended: dict[str, State[Any]] = {}
        for number, (name, call) in enumerate(self._steps):
            self._at = number
            self._log.info("step %d of %d: %s", number + 1, len(self._steps), name)
            token = _CURRENT.set(self)
            try:
                state = ended[name] = call()
            finally:
                _CURRENT.reset(token)
            self._log.info("%s", visible(f"{name}: {state.message or state.name}"))
            if not state.is_completed():
                break
            self._bar.move_to(number + 1)
        create_table_artifact(self._rows(ended), key=f"{self._key}-steps", description="What the steps came to")
        return ended

    def _rows(self, ended: Mapping[str, State[Any]]) -> list[dict[str, str]]:
        left_out = {name: ("not begun", "") for name, _ in self._steps if name not in ended}
        told = {name: (state.name or "", visible(state.message or "")) for name, state in ended.items()}
        return [{"step": name, "state": state, "result": text} for name, (state, text) in (told | left_out).items()]

    def part_done(self, share: float, text: str) -> None:
        """Show how far the step is.

        Args:
            share: from 0 to 1.
            text: logged now and then.
        """
        self._bar.move_to(self._at + min(share, 0.99))
        if time.monotonic() - self._said >= _EVERY_SECONDS:
            self._said = time.monotonic()
            self._log.info("%s", visible(f"{self._steps[self._at][0]}: {text}"))


_CURRENT: ContextVar[Steps | None] = ContextVar("steps of the flow that runs this one", default=None)


def steps_above() -> Steps | None:
    """The steps of which the flow that runs now is one; ``None`` for a flow that was started by itself."""
    return _CURRENT.get()
