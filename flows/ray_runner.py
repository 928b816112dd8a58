"""The Ray task runner, for GPUs whose networks stay loaded and for a cluster that may be lost."""

from __future__ import annotations

import errno
import functools
import itertools
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from prefect.task_runners import TaskRunner
from prefect_ray.task_runners import PrefectRayFuture, RayTaskRunner

from flows.cluster_loss import ClusterLost, UnsubmittedTask
from flows.parameters import Placement
from storage.errors import InvalidInput

OBJECT_STORE_BYTES = 100_000_000
"""Of a cluster of our own: its tasks take numbers and give small reports."""
_OWN_KEYWORDS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
"""Resources that Ray takes under another name."""
_HELD: list[socket.socket] = []


class RayRunner(RayTaskRunner):
    """Prefect's, for a cluster that may be lost."""

    def __enter__(self) -> RayRunner:
        """Start it, and connect. Ray would also take over SIGTERM, by which Prefect cancels a run.

        Raises:
            InvalidInput: If no cluster answers.
        """
        try:
            with _keeping_sigterm():
                super().__enter__()
        except ConnectionError as problem:
            raise InvalidInput(f"address {self._name}: no Ray cluster answers there. {problem}") from problem
        return self

    def __exit__(self, *exc_info: Any) -> None:
        """Disconnect; stop a cluster of our own. One that was lost can be told nothing."""
        if ray.is_initialized():
            super().__exit__(*exc_info)
        else:
            TaskRunner.__exit__(self, *exc_info)

    def submit(self, task: Any, parameters: dict[str, Any], **more: Any) -> _RayTask | UnsubmittedTask:
        """As Prefect's; once the cluster is lost, the task has ended at once."""
        lost = ClusterLost("Ray", self._name)
        if not ray.is_initialized():
            return UnsubmittedTask(lost)
        made = super().submit(task, parameters, **more)
        return _RayTask(made.task_run_id, made.wrapped_future, lost)

    @property
    def _name(self) -> str:
        return str(self.address or self.init_kwargs["address"])


class _RayTask(PrefectRayFuture[Any]):
    def __init__(self, task_run_id: Any, wrapped_future: Any, lost: ClusterLost) -> None:
        super().__init__(task_run_id, wrapped_future)
        self._lost = lost

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """As Prefect's.

        Raises:
            ClusterLost: If the cluster was lost.
        """
        if not ray.is_initialized():
            raise self._lost
        return super().result(timeout, raise_on_failure)


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def ray_runner(placement: Placement) -> RayRunner:
    """The runner for a cluster that exists, or for one that it makes.

    Args:
        placement: what and where.
    """
    # What workers print is in Ray's own logs; what tasks log, Prefect has.
    common = {"log_to_driver": False}
    if placement.address == "auto":
        return RayRunner(init_kwargs={**common, "address": "auto"})
    if placement.address:
        return RayRunner(address=placement.address, init_kwargs=common)
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # Ray would leave one in the home folder
    return RayRunner(
        init_kwargs={
            **common,
            "address": "local",
            "num_cpus": placement.processes,
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    )


def ray_options(placement: Placement) -> dict[str, Any]:
    """Options of Ray by which a task holds the resources asked for.

    A process that holds a GPU would end with its task; it has the networks, so it stays for the next one.
    """
    own = {_OWN_KEYWORDS[name]: number for name, number in placement.resources.items() if name in _OWN_KEYWORDS}
    others = {name: number for name, number in placement.resources.items() if name not in _OWN_KEYWORDS}
    return {**own, "resources": others, "max_calls": 0}


@functools.cache
def number_in_ray() -> int:
    """The lowest number that no other process of this cluster has. It is free again when this one ends."""
    cluster = ray.get_runtime_context().gcs_address
    return next(number for number in itertools.count() if _take(f"avvp of {cluster}: {number}"))


def _take(name: str) -> bool:
    """Whether a name was free on this machine. It leaves no file behind, which only Linux can do."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0{name}")
    except OSError as problem:
        held.close()
        if problem.errno == errno.EADDRINUSE:
            return False
        raise
    _HELD.append(held)
    return True
