"""The deployments of ``avvp up``: every flow on a process pool, as in ``prefect.yaml``."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib import metadata
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
    """

    name: str
    module: str
    function: str

    @property
    def entrypoint(self) -> str:
        """For ``prefect.yaml``."""
        return f"flows/{self.module}.py:{self.function}"

    def load(self) -> Any:
        """Import the flow."""
        return getattr(importlib.import_module(f"flows.{self.module}"), self.function)


_NAMES = ("extract-llp", "rebuild-features", "build-labels", "pseudo-labels", "train", "evaluate", "llp", "parse")
FLOWS = tuple(FlowEntry(name, module := name.replace("-", "_"), module) for name in _NAMES)


def deploy(entry: FlowEntry, *, pool: str, folder: str) -> None:
    """Make or renew a flow's deployment on a pool of processes, with the form of its parameters.

    Args:
        entry: the flow.
        pool: the pool, and the deployment's name.
        folder: where runs begin; their relative paths start there. Without this step, Prefect would copy the
            worker's folder, stores and all, for each run.
    """
    from prefect.client.orchestration import get_client

    loaded = entry.load()
    with get_client(sync_client=True) as client:
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
        )
