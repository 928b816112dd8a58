"""``python -m flows.up``: starts Prefect on one machine: server, pool, deployments, worker.

All that Prefect writes lies in one folder of the project. ``avvp up`` runs this.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from flows.subprocesses import Child, wait_until
from storage.text import visible

HOST = "127.0.0.1"
PORT = 4200
SERVER_START_SECONDS = 180.0
_POLL_SECONDS = 0.5
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_SHOW_UPDATE_NOTIFICATION": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""No telemetry, no questions. Set before Prefect is imported."""


LOGS_TO_TERMINALS = {
    "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "true",
    "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED": "true",
}
"""With these two a server sends a run's log lines to `prefect deployment run … --watch`; by default it does not."""


class Stopped(Exception):
    """A signal asked for the end; its text is the signal's name."""


@dataclass(frozen=True)
class Place:
    """Where Prefect runs.

    Attributes:
        home: its folder.
        api: address of the server.
        own: whether the server is ours to start and stop.
    """

    home: Path
    api: str
    own: bool

    @property
    def environment(self) -> dict[str, str]:
        """For every process that talks to this server."""
        return {**QUIET, "PREFECT_HOME": str(self.home), "PREFECT_API_URL": self.api}

    @property
    def dashboard(self) -> str:
        """For a browser."""
        return self.api.removesuffix("/api")


def free_port(wanted: int) -> int:
    """The port wanted if nobody has it, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"{HOST}: no free port")


def find_place(home: Path, port: int, environment: Mapping[str, str]) -> Place:
    """The server that ``PREFECT_API_URL`` names, or one of our own."""
    home = home.expanduser().resolve()
    configured = environment.get("PREFECT_API_URL", "").rstrip("/")
    if configured:
        return Place(home, configured, own=False)
    return Place(home, f"http://{HOST}:{free_port(port)}/api", own=True)


def write_environment(place: Place) -> Path:
    """``HOME/env``: what a second terminal sources to find the server."""
    place.home.mkdir(parents=True, exist_ok=True)
    file = place.home / "env"
    lines = [f"export {name}={shlex.quote(value)}" for name, value in place.environment.items()]
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return file


def start_server(place: Place) -> Child:
    """Start our own server and wait until it answers."""
    database = place.home / "prefect.db"
    port = place.api.rsplit(":", 1)[1].removesuffix("/api")
    environment = {
        **place.environment,
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        **LOGS_TO_TERMINALS,
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", port]
    return Child("server", command, environment=environment, log=place.home / "server.log")


def is_healthy(place: Place) -> bool:
    """Whether the server answers."""
    import httpx

    try:
        return httpx.get(f"{place.api}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def make_pool(name: str) -> None:
    """A pool of processes on this machine, if it is not there."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=name, type=ProcessWorker.type, base_job_template=template))
        except ObjectAlreadyExists:
            return


def start_worker(place: Place, pool: str, *, runs: int) -> Child:
    """A worker that starts flow runs as processes of this machine."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    command += ["--limit", str(runs), "--name", f"avvp-{socket.gethostname()}-{os.getpid()}"]
    environment = {**place.environment, "PREFECT_WORKER_QUERY_SECONDS": "3"}
    return Child("worker", command, environment=environment, log=place.home / "worker.log")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal. Returns the exit code."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    place = find_place(options.home, options.port, os.environ)
    os.environ.update(place.environment)
    children: list[Child] = []
    try:
        return _serve(place, options, children)
    except Stopped as asked:
        _say(f"{asked}: stopping …")
        return 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(children):
            child.stop()
        _say("stopped")


def _serve(place: Place, options: argparse.Namespace, children: list[Child]) -> int:
    file = write_environment(place)
    if place.own:
        _say(f"starting a Prefect server at {place.dashboard} (its files: {place.home}) …")
        children.append(start_server(place))
        healthy = wait_until(lambda: is_healthy(place), seconds=SERVER_START_SECONDS, alive=children[0].is_alive)
    else:
        _say(f"using the Prefect server at {place.api} (PREFECT_API_URL)")
        healthy = is_healthy(place)
    if not healthy:
        where = f"See {children[0].log}" if children else "Without PREFECT_API_URL, avvp up starts one of its own"
        _say(f"avvp up: {place.api}: the server does not answer. {where}")
        return 2
    from flows.deployments import FLOWS, deploy, deploy_file

    make_pool(options.pool)
    for entry in FLOWS:
        deploy(entry, pool=options.pool, folder=str(Path.cwd()))
    if options.deploy and (problem := deploy_file(options.deploy)):
        _say(f"avvp up: {options.deploy}: Prefect does not take these deployments: {problem}")
        return 2
    children.append(start_worker(place, options.pool, runs=options.runs))
    _say(_welcome(place, file, options.pool, [entry.name for entry in FLOWS]))
    while True:
        time.sleep(_POLL_SECONDS)
        for child in children:
            if not child.is_alive():
                _say(f"the {child.name} has ended (see {child.log}); starting it again")
                child.start()


def _welcome(place: Place, file: Path, pool: str, names: Sequence[str]) -> str:
    here = os.path.relpath(file)
    return "\n".join(
        [
            f"dashboard    {place.dashboard}",
            f"deployments  {', '.join(f'{name}/{pool}' for name in names)}",
            "in a second terminal:",
            f"  export PREFECT_API_URL={place.api}      # or: source {shlex.quote(here)}",
            f"  prefect deployment run extract-llp/{pool} -p clips=CLIPS -p store=my.zarr -p backbones=vggish --watch",
            "ready. Ctrl-C stops all of it",
        ]
    )


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(signal.Signals(number).name)


def _say(text: str) -> None:
    print(visible(text, keep="\n"), flush=True)  # noqa: T201 - a command's output


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="avvp up", description="Prefect on this machine.")
    parser.add_argument("--home", type=Path, default=Path(".avvp/prefect"))
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--pool", default="local")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--deploy", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
