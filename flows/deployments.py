"""The deployments of ``avvp up``: every flow on a process pool, as in ``prefect.yaml``, and those of a user's file."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

LOCAL = "local"
DOCKER = "docker"


@dataclass(frozen=True)
class FlowEntry:
    """A flow and where it is.

    Attributes:
        name: in Prefect.
        module: in this package.
        function: in that module.
        tags: of its deployments and runs.
    """

    name: str
    module: str
    function: str
    tags: tuple[str, ...] = ()

    @property
    def entrypoint(self) -> str:
        """For ``prefect.yaml``."""
        return f"flows/{self.module}.py:{self.function}"

    def load(self) -> Any:
        """Import the flow."""
        return getattr(importlib.import_module(f"flows.{self.module}"), self.function)


_KINDS = {
    "extract-llp": "features",
    "rebuild-features": "features",
    "build-labels": "labels",
    "pseudo-labels": "labels",
    "train": "training",
    "evaluate": "training",
    "llp": "training",
    "parse": "parsing",
}
FLOWS = tuple(
    FlowEntry(name, module := name.replace("-", "_"), module, ("avvp", kind)) for name, kind in _KINDS.items()
)


def deploy(entry: FlowEntry, *, pool: str, folder: str) -> None:
    """Make or renew a flow's deployment on a pool of processes, with the form of its parameters.

    What people have set on the server stays: schedules, parameters, limits, tags.

    Args:
        entry: the flow.
        pool: the pool, and the deployment's name.
        folder: where runs begin; their relative paths start there. Without this step, Prefect would copy the
            worker's folder, stores and all, for each run.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    loaded = entry.load()
    with get_client(sync_client=True) as client:
        try:
            kept = _kept(client.read_deployment_by_name(f"{entry.name}/{pool}"), entry.tags)
        except ObjectNotFound:
            kept = {"tags": list(entry.tags)}
        client.create_deployment(
            flow_id=client.create_flow(loaded),
            name=pool,
            work_pool_name=pool,
            entrypoint=f"flows.{entry.module}.{entry.function}",
            description=loaded.description,
            version=metadata.version("avvp-pipeline"),
            parameter_openapi_schema=loaded.parameters.model_dump(exclude_unset=True),
            enforce_parameter_schema=True,
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": folder}}],
            **kept,
        )


def _kept(before: Any, tags: tuple[str, ...]) -> dict[str, Any]:
    """What a deployment that is there already keeps: Prefect would take what is left out for taken away."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    limit = before.global_concurrency_limit
    schedules = [
        DeploymentScheduleCreate(
            schedule=item.schedule, active=item.active, parameters=item.parameters, slug=item.slug,
            max_scheduled_runs=item.max_scheduled_runs,
        )
        for item in before.schedules
    ]  # fmt: skip
    return {
        "tags": list(dict.fromkeys([*tags, *before.tags])),
        "schedules": schedules,
        "parameters": before.parameters,
        "job_variables": before.job_variables,
        "concurrency_limit": limit.limit if limit else None,
        "concurrency_options": before.concurrency_options,
        "paused": before.paused,
    }


def deploy_file(file: Path) -> str:
    """Make the deployments of a user's ``prefect.yaml``.

    Returns:
        What Prefect says if it does not take them; empty if it does.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    said = done.stderr.strip() or done.stdout.strip()
    return "" if done.returncode == 0 else said or f"exit code {done.returncode}"
