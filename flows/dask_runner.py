"""The Dask task runner, which says in one line that a cluster is not there or was lost."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any, cast

from distributed.comm.core import CommClosedError
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from flows.cluster_loss import ClusterLost, UnsubmittedTask
from flows.parameters import Placement
from storage.errors import InvalidInput

_ENDED = ("closing", "closed")


class DaskRunner(DaskTaskRunner):
    """Prefect's, for a cluster that may be lost.

    A scheduler that comes back at its address within half a minute gets the shards that were not submitted before.
    """

    def __enter__(self) -> DaskRunner:
        """Start it, and connect.

        Raises:
            InvalidInput: If no scheduler answers.
        """
        super().__enter__()
        try:
            self._connected_to = str(cast("Any", self.client.scheduler).address)
        except OSError as problem:
            super().__exit__(type(problem), problem, problem.__traceback__)
            raise InvalidInput(f"address {self.address}: no Dask scheduler answers there. {problem}") from problem
        return self

    def submit(  # type: ignore[override]  # of two overloads; ours serves both
        self, task: Any, parameters: dict[str, Any], **more: Any
    ) -> _DaskTask | UnsubmittedTask:
        """As Prefect's; once the cluster is lost, the task has ended at once."""
        lost = ClusterLost("Dask", self._connected_to)
        if self.client.status in _ENDED:
            return UnsubmittedTask(lost)
        made = super().submit(task, parameters, **more)
        return _DaskTask(made.task_run_id, made.wrapped_future, lost)


class _DaskTask(PrefectDaskFuture[Any]):
    def __init__(self, task_run_id: Any, wrapped_future: Any, lost: ClusterLost) -> None:
        super().__init__(task_run_id, wrapped_future)
        self._lost = lost

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """As Prefect's.

        Raises:
            ClusterLost: If the cluster was lost.
        """
        try:
            return super().result(timeout, raise_on_failure)
        except (CancelledError, CommClosedError) as problem:  # told by the client, or found while it fetches
            raise self._lost from problem


def dask_runner(placement: Placement, *, tasks: int) -> DaskRunner:
    """The runner for a cluster that exists, or for one that it makes.

    Args:
        placement: what and where.
        tasks: at once in each process of a cluster that it makes.
    """
    if placement.address:
        return DaskRunner(address=placement.address)
    cluster = {
        "n_workers": placement.processes,
        "threads_per_worker": tasks,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",  # None would ask for Dask's own port, which another cluster may have
        "scheduler_kwargs": {"dashboard": False},
        # A worker of our own cluster offers what its tasks ask for.
        "resources": {name: tasks * number for name, number in placement.resources.items()},
    }
    return DaskRunner(cluster_kwargs=cluster)
