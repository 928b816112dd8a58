"""A Ray head and its worker processes on loopback; a worker is killed in mid-run, then the head."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from clusters import newest_run, rows_of, rows_of_one_process, shards_done, wait_for
from processes import kill

from flows.parameters import Placement
from flows.runners import holding, make_runner
from pipeline.exchange.verify import verify

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        find_spec("ray") is None or find_spec("prefect_ray") is None,
        reason="needs ray and prefect-ray: pip install 'avvp-pipeline[ray]'",
    ),
]
SHARDS = 6
OBJECT_STORE_BYTES = 100_000_000


def free_ports(count):
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(contextlib.closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    """Ray's own settings: loopback, a token, nothing in the home folder, and short waits for what has died."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # names of sockets must be short
    settings = {
        "RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "3",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def head(up):
    """A head with two processes and two GPUs that are not there. Gives its process, and its address."""
    port, client_port, *others = free_ports(6)
    log = up.folder / "ray.log"
    options = {
        "node-ip-address": "127.0.0.1", "port": port, "ray-client-server-port": client_port, "min-worker-port": 0,
        "max-worker-port": 0, "num-cpus": 2, "num-gpus": 2, "include-dashboard": "false",
        "object-store-memory": OBJECT_STORE_BYTES,
    }  # fmt: skip
    # A node would wait for ports that its agents choose, but not for long: on a busy machine it would give up.
    agents = (
        "dashboard-agent-listen-port",
        "dashboard-agent-grpc-port",
        "runtime-env-agent-port",
        "metrics-export-port",
    )
    options |= dict(zip(agents, others, strict=True))
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = {**up.environment, "CUDA_VISIBLE_DEVICES": "0,1"}
    environment.pop("PREFECT_API_URL")  # a task brings its own
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, cwd=up.folder, stdout=out, stderr=out)
    started = wait_for(lambda: "Ray runtime started" in log.read_text() or process.poll() is not None, seconds=90)
    assert started, log.read_text()
    assert process.poll() is None, log.read_text()
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    yield process, f"ray://127.0.0.1:{client_port}"
    for one in list(family):
        with contextlib.suppress(psutil.NoSuchProcess):
            family += one.children(recursive=True)
    kill(family)
    process.wait(30)
    assert not psutil.wait_procs(family, timeout=20)[1], "left behind"


@contextlib.contextmanager
def running(up, clips, store, address):
    """A flow run, once its first shard is done and before its last one is. Gives its ``--watch`` and its store."""
    arguments = up.extract_arguments(clips, store, runner="ray", address=address, resources='{"GPU": 1}')
    with subprocess.Popen(
        [sys.executable, "-m", "prefect", *arguments],
        env=up.environment, cwd=up.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as watching:  # fmt: skip
        found = up.folder / store
        wait_for(lambda: shards_done(found) or watching.poll() is not None, seconds=120)
        assert shards_done(found) < SHARDS, "too late for a kill to mean anything"
        yield watching, found


def is_device_worker(process):
    with contextlib.suppress(psutil.NoSuchProcess):
        return "device_worker" in " ".join(process.cmdline())
    return False


def device_workers(parent):
    return [process for process in psutil.Process(parent.pid).children(recursive=True) if is_device_worker(process)]


def test_a_killed_ray_worker_costs_nothing(up, head, six_clips, toys, tmp_path):
    process, address = head
    with running(up, six_clips, "ray.zarr", address) as (watching, store):
        ours = device_workers(process)
        assert 1 <= len(ours) <= 2
        orphans = [ours[0], *ours[0].children(recursive=True)]
        assert ours[0].environ()["CUDA_VISIBLE_DEVICES"] in {"0", "1"}
        kill([ours[0].parent()])
        assert not psutil.wait_procs(orphans, timeout=20)[1], "left behind"
        output = watching.communicate(timeout=150)[0]
    assert watching.returncode == 0, output
    loaded = [line for line in newest_run(up)[1] if "loading toy_visual" in line]
    assert len(loaded) <= 4, "networks are to stay from task to task"
    assert rows_of(store) == rows_of_one_process(six_clips, tmp_path / "plain.zarr")
    assert not verify(str(store), deep=True).problems
    assert wait_for(lambda: not device_workers(process), seconds=20), "they end with the run"


def test_a_lost_ray_head_ends_the_run_and_the_next_fills_what_is_missing(up, head, six_clips, toys, tmp_path):
    process, address = head
    with running(up, six_clips, "lost.zarr", address) as (watching, store):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        kill(family)
        output = watching.communicate(timeout=150)[0]
    assert watching.returncode == 1, output
    message, _ = newest_run(up)
    assert f"the Ray cluster at {address} was lost before this shard was done" in message
    assert "Run the same again: only missing shards are done" in message
    again = up.run_extract(six_clips, "lost.zarr")
    assert again.returncode == 0, again.stdout + again.stderr
    assert rows_of(store) == rows_of_one_process(six_clips, tmp_path / "plain.zarr")
    assert not verify(str(store), deep=True).problems


def test_a_cluster_made_for_the_run_may_have_more_processes_than_there_are_shards(up, six_clips, toys, tmp_path):
    before = {process.pid for process in up.descendants()}
    done = up.run_extract(
        six_clips, "own.zarr", device="cpu,cpu", shard_size=3, runner="ray", processes=3, resources='{"GPU": 1}'
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows_of(up.folder / "own.zarr") == rows_of_one_process(six_clips, tmp_path / "plain.zarr", shard_size=3)
    left = [process for process in up.descendants() if process.pid not in before]
    assert not psutil.wait_procs(left, timeout=20)[1], "left behind"


def test_what_a_task_holds_goes_by_the_names_that_ray_has_for_it():
    from prefect_ray.context import RemoteOptionsContext

    asked = {"GPU": 0.5, "CPU": 4, "memory": 1e9, "licence": 1}
    with holding(Placement("ray", "ray://head:10001", resources=asked)):
        held = RemoteOptionsContext.get().current_remote_options
    assert held == {"num_gpus": 0.5, "num_cpus": 4, "memory": 1e9, "resources": {"licence": 1}, "max_calls": 0}
    with holding(Placement("ray", processes=2, resources=asked)):
        assert not RemoteOptionsContext.get().current_remote_options


def test_a_run_makes_a_cluster_or_uses_the_one_it_is_given():
    own = make_runner(Placement("ray", processes=3), devices=1).init_kwargs
    assert (own["address"], own["num_cpus"], own["include_dashboard"]) == ("local", 3, False)
    assert make_runner(Placement("ray", "auto"), devices=1).init_kwargs["address"] == "auto"
    assert make_runner(Placement("ray", "ray://head:10001"), devices=1).address == "ray://head:10001"


def test_processes_of_a_cluster_take_the_lowest_numbers_that_are_free(monkeypatch):
    from flows import ray_runner

    held = []
    monkeypatch.setattr(ray_runner, "_HELD", held)
    names = [f"{os.getpid()}: {number}" for number in range(2)]
    assert [ray_runner._take(name) for name in (names[0], names[0], names[1])] == [True, False, True]
    held.pop(0).close()
    assert ray_runner._take(names[0])
    for one in held:
        one.close()
