"""A Dask scheduler and two worker processes on loopback; a worker is killed in mid-run, then the scheduler."""

import contextlib
import json
import socket
import subprocess
import sys
import uuid

import psutil
import pytest
from clusters import newest_run, rows_of, rows_of_one_process, shards_done, wait_for
from processes import kill

from flows.parameters import Placement
from flows.runners import make_runner, number_of_this_process
from pipeline.exchange.verify import verify
from storage.errors import InvalidInput

pytest.importorskip("prefect_dask", reason="needs prefect-dask: pip install 'avvp-pipeline[dask]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SHARDS = 6


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
    assert wait_for(file.is_file, seconds=60)
    yield json.loads(file.read_text())["address"], family
    everyone = [psutil.Process(one.pid) for one in family if one.poll() is None]
    everyone += [child for one in everyone for child in one.children(recursive=True)]
    kill(everyone)
    for one in family:
        one.wait(30)
    psutil.wait_procs(everyone, timeout=10)


@contextlib.contextmanager
def running(up, clips, store, **parameters):
    """A flow run, once its first shard is done and before its last one is. Gives its ``--watch`` and its store."""
    arguments = up.extract_arguments(clips, store, runner="dask", resources='{"GPU": 1}', **parameters)
    with subprocess.Popen(
        [sys.executable, "-m", "prefect", *arguments],
        env=up.environment, cwd=up.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as watching:  # fmt: skip
        found = up.folder / store
        wait_for(lambda: shards_done(found) or watching.poll() is not None, seconds=90)
        assert shards_done(found) < SHARDS, "too late for a kill to mean anything"
        yield watching, found


def kill_with_children(process):
    doomed = psutil.Process(process.pid)
    victims = [doomed, *doomed.children(recursive=True)]
    kill(victims)
    return victims


def test_a_killed_dask_worker_costs_nothing(up, cluster, six_clips, toys, tmp_path):
    address, (_, worker, _) = cluster
    with running(up, six_clips, "dask.zarr", address=address) as (watching, store):
        assert len(kill_with_children(worker)) > 1
        output = watching.communicate(timeout=150)[0]
    assert watching.returncode == 0, output
    assert rows_of(store) == rows_of_one_process(six_clips, tmp_path / "plain.zarr")
    assert not verify(str(store), deep=True).problems


def test_a_lost_dask_scheduler_ends_the_run_and_the_next_fills_what_is_missing(up, cluster, six_clips, toys, tmp_path):
    address, (scheduler, *_) = cluster
    with running(up, six_clips, "lost.zarr", address=address) as (watching, store):
        kill_with_children(scheduler)
        output = watching.communicate(timeout=150)[0]
    assert watching.returncode == 1, output
    message, _ = newest_run(up)
    assert f"the Dask cluster at {address} was lost before this shard was done" in message
    assert "Run the same again: only missing shards are done" in message
    again = up.run_extract(six_clips, "lost.zarr")
    assert again.returncode == 0, again.stdout + again.stderr
    assert rows_of(store) == rows_of_one_process(six_clips, tmp_path / "plain.zarr")
    assert not verify(str(store), deep=True).problems


@pytest.mark.parametrize("ends", ["cancelled", "closed"])
def test_a_cluster_is_lost_in_whatever_way_dask_says_so(ends):
    from distributed import CancelledError
    from distributed.comm.core import CommClosedError

    from flows.cluster_loss import ClusterLost
    from flows.dask_runner import _DaskTask

    error = {"cancelled": CancelledError, "closed": CommClosedError}[ends]("in <TCP (closed)>: Stream is closed")

    class Pending:
        def result(self, timeout=None):
            raise error

    task = _DaskTask(uuid.uuid4(), Pending(), ClusterLost("Dask", "tcp://127.0.0.1:9"))
    with pytest.raises(ClusterLost, match=r"^the Dask cluster at tcp://127\.0\.0\.1:9 was lost before this shard was"):
        task.result()


def test_an_address_where_no_scheduler_answers_is_refused():
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(InvalidInput, match=r"address tcp://127\.0\.0\.1:9: no Dask scheduler answers there"),
        make_runner(Placement("dask", "tcp://127.0.0.1:9"), devices=1),
    ):
        pass


def test_a_cluster_made_for_the_run_may_have_more_processes_than_there_are_shards(up, six_clips, toys, tmp_path):
    done = up.run_extract(
        six_clips, "own.zarr", device="cpu,cpu", shard_size=3, runner="dask", processes=3, resources='{"GPU": 1}'
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert rows_of(up.folder / "own.zarr") == rows_of_one_process(six_clips, tmp_path / "plain.zarr", shard_size=3)
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
