"""Task runners by name: threads of this process, or a Dask or Ray cluster."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.parameters import Placement
from storage.errors import InvalidInput

TASKS_A_DEVICE = 2
"""At once: a device's worker decodes the next shard while it finishes one."""


def make_runner(placement: Placement, *, devices: int) -> TaskRunner[Any]:
    """The task runner that was asked for; nothing is started.

    Args:
        placement: what and where.
        devices: of this machine that the run uses.

    Raises:
        InvalidInput: If its package is not installed, or the options do not go together.
    """
    placement.check()
    if placement.runner == "local":
        return ThreadPoolTaskRunner(max_workers=TASKS_A_DEVICE * devices)
    try:
        return _cluster(placement, devices)
    except ImportError as problem:
        kind = placement.runner
        raise InvalidInput(
            f"runner {kind!r}: {problem.name} is not installed. pip install 'avvp-pipeline[{kind}]'"
        ) from problem


def check_limit(name: str | None) -> None:
    """Look a concurrency limit up: one that was never created would fail in every task.

    Raises:
        InvalidInput: If the server has none of that name.
    """
    if name is None:
        return
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound as problem:
            raise InvalidInput(
                f"limit {name!r}: no such concurrency limit. Make it: prefect gcl create {name} --limit 1"
            ) from problem


def number_of_this_process() -> int:
    """Which of the processes this is, from 0, in a Dask or Ray cluster that was made for the run."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        from flows.ray_runner import number_in_ray

        return number_in_ray()
    from distributed import get_worker

    return int(get_worker().name)


def _cluster(placement: Placement, devices: int) -> TaskRunner[Any]:
    if placement.runner == "dask":
        from flows.dask_runner import dask_runner

        return dask_runner(placement, tasks=TASKS_A_DEVICE * -(-devices // placement.processes))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # Ray would put a new, empty cluster in place of one that was lost
    from flows.ray_runner import ray_runner

    return ray_runner(placement)


def holding(placement: Placement) -> AbstractContextManager[Any]:
    """While tasks are submitted inside: each will hold the resources asked for."""
    if not placement.resources:
        return nullcontext()
    if placement.runner == "dask":
        from dask.base import annotate

        return cast("AbstractContextManager[Any]", annotate(resources=dict(placement.resources)))
    if placement.makes_cluster:  # as many tasks at once as it has processes: there is nothing to hold
        return nullcontext()
    from prefect_ray.context import remote_options

    from flows.ray_runner import ray_options

    return cast("AbstractContextManager[Any]", remote_options(**ray_options(placement)))
