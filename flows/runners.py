"""Task runners by name: threads of this process, or a Dask or Ray cluster."""

from __future__ import annotations

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
        return _dask(placement, devices) if placement.runner == "dask" else _ray(placement)
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
    """Which of the processes this is, in a Dask cluster that was made for the run."""
    from distributed import get_worker

    return int(get_worker().name)


def _dask(placement: Placement, devices: int) -> TaskRunner[Any]:
    from prefect_dask.task_runners import DaskTaskRunner

    if placement.address:
        return cast("TaskRunner[Any]", DaskTaskRunner(address=placement.address))
    tasks = TASKS_A_DEVICE * -(-devices // placement.processes)
    cluster = {
        "n_workers": placement.processes,
        "threads_per_worker": tasks,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",  # None would ask for Dask's own port, which another cluster may have
        "scheduler_kwargs": {"dashboard": False},
        # A worker of our own cluster offers what its tasks ask for.
        "resources": {name: tasks * number for name, number in placement.resources.items()},
    }
    return cast("TaskRunner[Any]", DaskTaskRunner(cluster_kwargs=cluster))


def _ray(placement: Placement) -> TaskRunner[Any]:
    import os

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from prefect_ray.task_runners import RayTaskRunner

    return cast("TaskRunner[Any]", RayTaskRunner(address=placement.address))


def holding(placement: Placement) -> AbstractContextManager[Any]:
    """While tasks are submitted inside: each will hold the resources asked for."""
    if not placement.resources:
        return nullcontext()
    if placement.runner == "dask":
        from dask.base import annotate

        return cast("AbstractContextManager[Any]", annotate(resources=dict(placement.resources)))
    from prefect_ray.context import remote_options

    gpus = placement.resources.get("GPU", 0)
    others = {name: number for name, number in placement.resources.items() if name != "GPU"}
    return cast("AbstractContextManager[Any]", remote_options(num_gpus=gpus, resources=others))
