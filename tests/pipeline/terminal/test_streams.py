"""Output that nobody reads: a pipe that was closed, and a process without standard output."""

import os
import subprocess
import sys

import pytest
import toy_store as toy


def avvp(*arguments, **options):
    command = [sys.executable, "-c", "from avvp import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, text=True, **options)


@pytest.fixture
def store(tmp_path):
    return toy.make(tmp_path / "s.zarr", kept=False)


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["verify"], ["inspect"]])
def test_a_reader_that_has_had_enough_is_no_error(store, arguments):
    end, ours = os.pipe()
    os.close(end)  # nobody will read, as after head -1
    running = avvp(arguments[0], store.url, *arguments[1:], stdout=ours, stderr=subprocess.PIPE)
    os.close(ours)
    assert running.communicate()[1] == ""
    assert running.returncode == 0


@pytest.mark.parametrize(("closed", "code"), [((1,), 0), ((1, 2), 0), ((0, 1, 2), 0)])
def test_standard_output_that_is_closed(store, closed, code):
    running = avvp("status", store.url, preexec_fn=lambda: [os.close(number) for number in closed])
    assert running.wait() == code


def test_a_mistake_stays_one_without_a_reader(tmp_path):
    running = avvp("status", tmp_path / "none.zarr", preexec_fn=lambda: os.close(1), stderr=subprocess.PIPE)
    assert "no feature store here" in running.communicate()[1]
    assert running.returncode == 2
