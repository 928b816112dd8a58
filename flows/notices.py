"""Tells people of runs that failed, by whatever Prefect block the server's variable ``avvp_notify`` names."""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block
from prefect.client.schemas.objects import FlowRun, State
from prefect.variables import Variable

from flows.parameters import several
from storage.text import visible

VARIABLE = "avvp_notify"
"""Its value: a block such as ``slack-webhook/lab``, or a list of some."""


def tell_of_failure(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """Hook for ``on_failure`` and ``on_crashed``. Prefect logs what goes wrong in it; the run's state stays.

    A flow that another one runs is not told of: the other one will be.

    Args:
        flow: whose run it is.
        flow_run: the run.
        state: how it ended.
    """
    if flow_run.parent_task_run_id is not None:
        return
    subject = visible(f"{flow_run.name}: {state.name}")
    named: Any = Variable.get(VARIABLE, default=[])
    for name in several(named):
        block: Any = Block.load(name)
        block.notify(f"{visible(state.message or 'no reason was given')}\n\nflow run {flow_run.id}", subject=subject)
