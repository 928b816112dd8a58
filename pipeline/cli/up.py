"""``avvp up``: Prefect on this machine, in a process of its own: nothing of Prefect is imported here."""

from __future__ import annotations

import importlib.util
import os
import sys

import click


@click.command()
@click.option("--home", default=".avvp/prefect", show_default=True, help="The folder that Prefect writes to.")
@click.option("--port", type=click.IntRange(1, 65535), default=4200, show_default=True, help="If it is free.")
@click.option("--pool", default="local", show_default=True, help="The work pool, and the name of the deployments.")
@click.option("--runs", type=click.IntRange(1), default=1, show_default=True, help="Flow runs at once.")
def up(*, home: str, port: int, pool: str, runs: int) -> None:
    """Start a Prefect server, deploy all flows and run a worker, until Ctrl-C.

    A server that PREFECT_API_URL names is used instead of a new one.
    """
    if importlib.util.find_spec("prefect") is None:
        raise ModuleNotFoundError(name="prefect")
    options = ["--home", home, "--port", str(port), "--pool", pool, "--runs", str(runs)]
    os.execv(sys.executable, [sys.executable, "-m", "flows.up", *options])


COMMANDS = (up,)
