"""How many decode workers there are, and how they behave beside the networks."""

import os

import psutil
import pytest

from pipeline.extraction import cores, worker_count
from pipeline.extraction.cores import usable_cores
from pipeline.extraction.worker_count import default_workers, niceness_beside
from pipeline.extraction.worker_process import WorkerProcess


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 cores, and a function that writes its files and counts the cores."""
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(64)), raising=False)

    def count(files):
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return usable_cores(proc=tmp_path / "proc", cgroups=tmp_path / "cg")

    return count


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 64),
        ({"proc/self/cgroup": "0::/\n", "cg/cpu.max": "max 100000\n"}, 64),
        ({"proc/self/cgroup": "0::/\n", "cg/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": "0::/a/b\n", "cg/a/b/cpu.max": "max 100000\n", "cg/a/cpu.max": "250000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/a\n", "cg/a/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/a\n", "cg/a/cpu.max": "9900000 100000\n"}, 64),
        ({"proc/self/cgroup": "0::/a\n", "cg/a/cpu.max": "nonsense\n"}, 64),
    ],
)
def test_the_quota_of_version_2(machine, files, expected):
    assert machine(files) == expected


@pytest.mark.parametrize(
    ("quota", "folder", "expected"),
    [
        ("800000", "cpu,cpuacct/docker/x", 8),
        ("800000", "cpu,cpuacct", 8),  # a container sees its own group as the root
        ("800000", "cpu/docker", 8),
        ("-1", "cpu,cpuacct/docker/x", 64),
    ],
)
def test_the_quota_of_version_1(machine, quota, folder, expected):
    lines = "11:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n"
    files = {f"cg/{folder}/cpu.cfs_quota_us": f"{quota}\n", f"cg/{folder}/cpu.cfs_period_us": "100000\n"}
    assert machine({"proc/self/cgroup": lines, **files}) == expected


@pytest.mark.parametrize(
    ("found", "devices", "expected"),
    [(2, 1, 2), (200, 1, 16), (200, 8, 16), (64, 8, 8), (20, 8, 2), (4, 8, 1)],
)
def test_workers_are_shared_out_over_the_devices(monkeypatch, found, devices, expected):
    monkeypatch.setattr(worker_count, "usable_cores", lambda: found)
    assert default_workers(devices=devices) == expected


@pytest.mark.parametrize(("device", "nicer"), [("cpu", 10), ("cuda:3", 0)])
def test_decode_workers_give_way_to_networks_on_a_cpu_only(device, nicer):
    worker = WorkerProcess(niceness=niceness_beside(device))
    try:
        worker.pipe.send(("/dev/null", 0, None))
        worker.pipe.recv()  # it has begun, so it is set up
        assert psutil.Process(worker.pid).nice() == min(os.nice(0) + nicer, 19)
    finally:
        worker.end()
