"""``avvp up``: Prefect on this machine, in a process of its own: nothing of Prefect is imported here."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

NEEDED = ("prefect", "av")
"""Of the extras flows and extract: flows are deployed with what they import."""


@click.command()
@click.option("--home", default=".avvp/prefect", show_default=True, help="The folder that Prefect writes to.")
@click.option("--port", type=click.IntRange(1, 65535), default=4200, show_default=True, help="If it is free.")
@click.option("--pool", default="local", show_default=True, help="The work pool, and the name of the deployments.")
@click.option("--runs", type=click.IntRange(1), default=1, show_default=True, help="Flow runs at once.")
@click.option(
    "--deploy", type=click.Path(exists=True, dir_okay=False), help="A prefect.yaml with deployments of your own."
)
def up(*, home: str, port: int, pool: str, runs: int, deploy: str | None) -> None:
    """Start a Prefect server, deploy all flows and run a worker, until Ctrl-C.

    A server that PREFECT_API_URL names is used instead of a new one.
    """
    for module in NEEDED:
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    options = ["--home", home, "--port", str(port), "--pool", pool, "--runs", str(runs)]
    options += ["--deploy", deploy] if deploy else []
    os.execv(sys.executable, [sys.executable, "-m", "flows.up", *options])


COMMANDS = (up,)
