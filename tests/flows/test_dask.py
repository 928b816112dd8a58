"""A Dask scheduler and two worker processes on loopback; one is killed in mid-run."""

import contextlib
import hashlib
import json
import socket
import subprocess
import sys
import time

import psutil
import pytest
from processes import kill

from flows.parameters import Placement
from flows.runners import make_runner, number_of_this_process
from pipeline.exchange.verify import verify
from pipeline.extraction.extract import extract
from pipeline.extraction.options import ExtractOptions
from storage.clips import ClipTable

pytest.importorskip("prefect_dask", reason="needs prefect-dask: pip install 'avvp-pipeline[dask]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SHARDS = 6


def content(folder):
    """Digest of every file that holds rows."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "/c/" in str(path)
    }


@pytest.fixture
def cluster(up, tmp_path):
    """A scheduler, and two workers with a GPU slot each; the workers' processes are real, and so are their nannies."""
    file = tmp_path / "scheduler.json"
    family = []

    def start(*arguments):
        command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
        with (tmp_path / "dask.log").open("ab") as log:
            family.append(subprocess.Popen(command, env=up.environment, cwd=up.folder, stdout=log, stderr=log))

    start(
        "dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--dashboard-address",
        "127.0.0.1:0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    )
    for number in range(2):
        start("dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--resources", "GPU=1",
              "--name", f"w{number}", "--host", "127.0.0.1", "--no-dashboard")  # fmt: skip
    end = time.monotonic() + 60
    while not file.is_file() and time.monotonic() < end:
        time.sleep(0.1)
    yield json.loads(file.read_text())["address"], family[1:]
    everyone = [psutil.Process(one.pid) for one in family if one.poll() is None]
    everyone += [child for one in everyone for child in one.children(recursive=True)]
    kill(everyone)
    for one in family:
        one.wait(30)
    psutil.wait_procs(everyone, timeout=10)


def test_a_killed_dask_worker_costs_nothing(up, cluster, six_clips, toys, tmp_path):
    address, workers = cluster
    store = up.folder / "dask.zarr"
    arguments = up.extract_arguments(six_clips, "dask.zarr", runner="dask", address=address, resources='{"GPU": 1}')
    with subprocess.Popen(
        [sys.executable, "-m", "prefect", *arguments],
        env=up.environment, cwd=up.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as watching:  # fmt: skip
        ledger = store / "ledger" / "toy_audio"
        end = time.monotonic() + 90
        while len(list(ledger.glob("*.0001.json"))) < 1 and time.monotonic() < end and watching.poll() is None:
            time.sleep(0.05)
        done = len(list(ledger.glob("*.0001.json")))
        doomed = psutil.Process(workers[0].pid)
        victims = [doomed, *doomed.children(recursive=True)]
        assert len(victims) > 1
        kill(victims)
        output = watching.communicate(timeout=150)[0]
    assert watching.returncode == 0, output
    assert done < SHARDS, "the kill came too late to mean anything"
    plain = tmp_path / "plain.zarr"
    extract(
        ClipTable.load(six_clips), str(plain),
        ExtractOptions(("toy_visual", "toy_audio"), ("random:3",), clip_seconds=2, shard_size=1, workers=1),
    )  # fmt: skip
    assert content(store) == content(plain)
    assert not verify(str(store), deep=True).problems


def test_a_cluster_made_for_the_run(up, six_clips):
    done = up.run_extract(six_clips, "own.zarr", device="cpu,cpu", runner="dask", processes=2, resources='{"GPU": 1}')
    assert done.returncode == 0, done.stdout + done.stderr
    assert not verify(str(up.folder / "own.zarr"), deep=True).problems
    left = [process for process in up.descendants() if "device_worker" in " ".join(process.cmdline())]
    assert not psutil.wait_procs(left, timeout=20)[1], "left behind"


def test_processes_of_a_cluster_of_our_own_know_their_numbers():
    runner = make_runner(Placement("dask", processes=2), devices=2)
    with runner as started:
        client = started.client
        numbers = [client.submit(number_of_this_process, workers=[name], key=f"number {name}") for name in (0, 1)]
        assert client.gather(numbers) == [0, 1]


def test_clusters_of_our_own_stand_beside_each_other():
    """Dask's own port is taken, by the first of them or by somebody else."""
    with contextlib.closing(socket.socket()) as taken:
        with contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        with make_runner(Placement("dask", processes=1), devices=1) as runner:
            assert runner.client.submit(number_of_this_process).result() == 0
