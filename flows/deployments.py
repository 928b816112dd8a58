"""What ``avvp up`` deploys: every flow, on a pool of processes; ``prefect.yaml`` says the same, and the Docker ones."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
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


FLOWS = tuple(
    FlowEntry(name, module := name.replace("-", "_"), module)
    for name in ("extract-llp", "rebuild-features", "build-labels", "pseudo-labels", "train", "evaluate", "llp")
)


def deploy(entry: FlowEntry, *, pool: str, folder: str) -> None:
    """Make or renew a flow's deployment on a pool of processes.

    Args:
        entry: the flow.
        pool: the pool, and the deployment's name.
        folder: where runs begin; their relative paths start there.
    """
    from prefect.types.entrypoint import EntrypointType

    made = entry.load().to_deployment(
        name=pool,
        work_pool_name=pool,
        job_variables={"working_dir": folder},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    made.apply()
