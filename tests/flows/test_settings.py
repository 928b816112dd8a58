"""What every flow can be told about a run: its time, its credentials, and whom its failure is told to."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from prefect.blocks.system import Secret
from prefect.filesystems import RemoteFileSystem
from prefect.states import Completed, Failed

from flows import buckets, notices
from flows.deployments import FLOWS
from flows.outcomes import refuses_in_one_line
from storage.errors import InvalidInput

SECRET = "never-to-be-seen"
OPTIONS = {"memory": {"x": 1}, "s3": {"key": "me", "secret": SECRET, "endpoint_url": "http://127.0.0.1:1"}}


@refuses_in_one_line
def body(seconds: float = 0, look=lambda: None):
    """Some flow.

    Args:
        seconds: that it takes.
        look: called.
    """
    look()
    time.sleep(seconds)
    return Completed(message="done")


def test_a_run_ends_when_its_time_is_over():
    """In a process of its own, as a worker runs it: Prefect and pytest's own time limit want the same signal."""
    script = "\n".join([
        "import json, test_settings as here",
        "done, late = here.body(0.01, timeout_seconds=300), here.body(600, timeout_seconds=0.2)",
        "print(json.dumps([done.message, late.name, late.type.value, late.message]))",
    ])  # fmt: skip
    places = [str(Path(__file__).parent), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == [
        "done", "TimedOut", "FAILED",
        "stopped after 0.2 s (timeout_seconds). What is done stays: run the same again to go on",
    ]  # fmt: skip


@pytest.fixture
def server(monkeypatch):
    """Blocks and variables, without a server."""
    held = {
        "secret/lab": Secret(value=OPTIONS),
        "secret/text": Secret(value=json.dumps(OPTIONS)),
        "remote-file-system/lab": RemoteFileSystem(basepath="s3://b/x", settings=OPTIONS["s3"]),
        "secret/other": Secret(value=SECRET),
        "lab": OPTIONS,
    }

    def load(name):
        if name not in held:
            raise ValueError(f"Unable to find block document named {name}")
        return held[name]

    monkeypatch.setattr(buckets, "Block", SimpleNamespace(load=load))
    monkeypatch.setattr(buckets, "Variable", SimpleNamespace(get=lambda name: held.get(name)))
    return held


@pytest.mark.parametrize("name", ["secret/lab", "secret/text", "remote-file-system/lab", "lab"])
def test_buckets_are_opened_with_what_a_block_or_a_variable_holds(server, monkeypatch, name):
    monkeypatch.delenv("FSSPEC_S3", raising=False)
    seen = {}

    def look():
        seen.update(fsspec.config.conf["s3"], name=buckets.name_in_use())
        code = "import fsspec; print(fsspec.config.conf['s3']['secret'])"
        seen["child"] = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()

    assert body(look=look, credentials=name).message == "done"
    assert (seen["secret"], seen["child"], seen["name"]) == (SECRET, SECRET, name)
    assert "FSSPEC_S3" not in os.environ
    assert "s3" not in fsspec.config.conf
    assert buckets.name_in_use() is None


def test_options_stay_until_the_last_task_that_uses_them_has_ended(server):
    with buckets.bucket_access("lab"):
        with buckets.bucket_access("lab"):
            pass
        assert fsspec.config.conf["s3"]["secret"] == SECRET
    with buckets.bucket_access(None):
        assert "s3" not in fsspec.config.conf


def test_what_the_environment_said_before_comes_back(server, monkeypatch):
    monkeypatch.setenv("FSSPEC_S3", '{"key": "mine"}')
    with buckets.bucket_access("lab"):
        assert fsspec.config.conf["s3"]["key"] == "me"
    assert json.loads(os.environ["FSSPEC_S3"]) == {"key": "mine"}
    assert fsspec.config.conf["s3"] == {"key": "mine"}
    fsspec.config.conf.pop("s3")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("secret/none", "no such block on the server. See: prefect block ls"),
        ("none", "no such variable on the server. See: prefect variable ls"),
        ("secret/other", "expected fsspec options by protocol"),
    ],
)
def test_what_holds_no_options_is_refused_and_not_shown(server, name, message):
    with pytest.raises(InvalidInput, match=message) as raised:
        buckets.options_of(name)
    assert SECRET not in str(raised.value)
    state = body(credentials=name)
    assert state.name == "Refused"
    assert SECRET not in state.message


@pytest.fixture
def told(monkeypatch):
    """What two blocks were told; the variable names both."""
    said = []

    def load(name):
        return SimpleNamespace(notify=lambda text, subject: said.append((name, subject, text)))

    monkeypatch.setattr(notices, "Block", SimpleNamespace(load=load))
    value = ["slack-webhook/lab", "custom-webhook/x"]
    monkeypatch.setattr(notices, "Variable", SimpleNamespace(get=lambda name, default: value))
    return said


def test_a_failure_is_told_once_with_its_reason(told):
    run = SimpleNamespace(id="5", name="vggish → s.zarr", parent_task_run_id=None)
    notices.tell_of_failure(None, run, Failed(name="Refused", message="no such folder"))
    assert told == [
        (name, "vggish → s.zarr: Refused", "no such folder\n\nflow run 5")
        for name in ("slack-webhook/lab", "custom-webhook/x")
    ]
    run.parent_task_run_id = "7"  # llp tells of it
    notices.tell_of_failure(None, run, Failed(message="no such folder"))
    assert len(told) == 2


def test_without_the_variable_nobody_is_told(told, monkeypatch):
    monkeypatch.setattr(notices, "Variable", SimpleNamespace(get=lambda name, default: default))
    notices.tell_of_failure(None, SimpleNamespace(id="5", name="x", parent_task_run_id=None), Failed(message="x"))
    assert told == []


@pytest.mark.parametrize("entry", FLOWS, ids=lambda entry: entry.name)
def test_every_flow_tells_of_failures_and_has_the_settings(entry):
    loaded = entry.load()
    assert loaded.on_failure_hooks == [notices.tell_of_failure]
    assert loaded.on_crashed_hooks == [notices.tell_of_failure]
    assert list(loaded.parameters.properties)[-2:] == ["timeout_seconds", "credentials"]
