"""One whole round: a server, a deployment, a watched run, a kill in mid-run, and the end of it all."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest
from processes import kill

from pipeline.exchange.verify import verify
from storage.store import FeatureStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SHARDS = 6


def api(up, path, body=None):
    url = up.environment["PREFECT_API_URL"] + path
    data = json.dumps(body or {}).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def said_by(done):
    """What a command printed, without the line breaks of its tables."""
    return " ".join((done.stdout + done.stderr).split())


def newest_run(up):
    return api(up, "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})[0]


def words_of(process):
    """Its command; nothing if it has ended meanwhile, as an ffmpeg does."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_a_watched_run_fills_the_store_and_says_how_many_clips_failed(up, six_clips):
    done = up.run_extract(six_clips, "first.zarr", shard_size=3)
    assert done.returncode == 0, done.stdout + done.stderr
    store = FeatureStore.open(up.folder / "first.zarr")
    assert store.valid("toy_visual").any(axis=1).sum() == 5
    assert not verify(str(up.folder / "first.zarr"), deep=True).problems
    run = newest_run(up)
    assert (run["state"]["type"], run["state"]["name"]) == ("COMPLETED", "CompletedWithFailures")
    assert run["state"]["message"] == "1 of 6 clips failed"
    artifacts = api(up, "/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}})
    shown = {found["key"]: found for found in artifacts}
    assert {key: found["type"] for key, found in shown.items()} == {
        "first-zarr": "markdown",
        "first-zarr-failures": "table",
        "first-zarr-progress": "progress",
    }
    assert "base64" not in json.dumps(artifacts)
    (failure,) = json.loads(shown["first-zarr-failures"]["data"])
    assert next(iter(failure.items())) == ("clip", "x broken")
    assert failure["arrays"] == "toy_audio, toy_visual"
    assert "first.zarr.inspect.html" in shown["first-zarr"]["data"]
    assert (up.folder / "first.zarr.inspect.html").is_file()
    assert float(shown["first-zarr-progress"]["data"]) == 100.0
    logs = api(up, "/logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}})
    said = "\n".join(line["message"] for line in logs)
    assert "3/3 clips done" in said
    assert "1 clip without features: unreadable" in said
    assert ": x broken" in said, "the line names the clip"
    watched = said_by(done)
    assert "3/3 clips done" in watched, "the terminal shows the log"
    assert "1 of 6 clips failed" in watched[-600:], "and ends with the counts"
    assert watched.endswith("Flow run finished successfully in 'CompletedWithFailures'.")


def test_a_wrong_parameter_is_refused_before_or_as_the_run_begins(up, six_clips):
    refused = up.run_extract(six_clips, "never.zarr", clip_seconds=0)
    assert refused.returncode == 1
    assert "less than the minimum" in said_by(refused)
    wrong = up.run_extract(six_clips, "never.zarr", backbones='["toy_visul"]')
    assert wrong.returncode == 1
    state = newest_run(up)["state"]
    assert (state["type"], state["name"]) == ("FAILED", "Refused")
    assert "Did you mean 'toy_visual'?" in state["message"]
    assert "Did you mean 'toy_visual'?" in said_by(wrong)[-900:], "the reason is in the terminal"
    unlimited = up.run_extract(six_clips, "never.zarr", limit="gpu")
    assert unlimited.returncode == 1
    assert newest_run(up)["state"]["message"].startswith("limit 'gpu': no such concurrency limit. Make it: prefect gcl")
    assert not (up.folder / "never.zarr").exists()


def test_after_kill_9_of_the_run_only_missing_shards_are_done(up, six_clips):
    store = up.folder / "killed.zarr"
    with subprocess.Popen(
        [sys.executable, "-m", "prefect", *up.extract_arguments(six_clips, "killed.zarr")],
        env=up.environment, cwd=up.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as watching:  # fmt: skip
        ledger = store / "ledger" / "toy_audio"
        end = time.monotonic() + 60
        while len(list(ledger.glob("*.0001.json"))) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        worker = next(child for child in up.descendants() if "worker" in words_of(child))
        runs = worker.children()
        family = [child for process in runs for child in (process, *process.children(recursive=True))]
        assert runs
        kill(runs)
        watching.communicate(timeout=90)
        assert watching.returncode == 1
    assert not psutil.wait_procs(family, timeout=10)[1], "decode processes outlive the run"
    before = {path: path.stat().st_mtime_ns for path in ledger.glob("*.0001.json")}
    assert 2 <= len(before) < SHARDS
    again = up.run_extract(six_clips, "killed.zarr")
    assert again.returncode == 0, again.stdout + again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before, "finished shards are left alone"
    run = newest_run(up)
    tasks = api(up, "/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    assert len(tasks) == SHARDS - len(before)
    assert not verify(str(store), deep=True).problems


def test_a_cancelled_run_leaves_no_worker_behind(up, six_clips, tmp_path):
    for copy in range(8):
        for clip in sorted(six_clips.glob("[0-9]*.mp4")):
            (tmp_path / f"{copy} {clip.name}").write_bytes(clip.read_bytes())
    with subprocess.Popen(
        [sys.executable, "-m", "prefect", *up.extract_arguments(tmp_path, "cancelled.zarr")],
        env=up.environment, cwd=up.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as watching:  # fmt: skip
        ledger = up.folder / "cancelled.zarr" / "ledger" / "toy_audio"
        end = time.monotonic() + 90
        while len(list(ledger.glob("*.0001.json"))) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        family = [child for child in up.descendants() if "device_worker" in str(words_of(child))]
        family += [child for worker in family for child in worker.children()]
        assert len(family) == 2, "one worker and its decode worker"
        run = newest_run(up)["id"]
        assert up.prefect("flow-run", "cancel", run).returncode == 0
        watching.communicate(timeout=120)
    assert newest_run(up)["state"]["type"] == "CANCELLED"
    assert not psutil.wait_procs(family, timeout=20)[1], "left behind"
    assert not verify(str(up.folder / "cancelled.zarr"), deep=True).problems


def test_the_second_project_uses_the_server_that_is_there(up, tmp_path):
    end = time.monotonic() + 90
    log = tmp_path / "log"
    with log.open("wb") as out:
        second = subprocess.Popen(
            [sys.executable, "-m", "flows.up", "--home", "own", "--pool", "other"],
            env=up.environment, cwd=tmp_path, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        while "ready." not in log.read_text() and second.poll() is None and time.monotonic() < end:
            time.sleep(0.3)
        assert "using the Prefect server" in log.read_text()
        assert "extract-llp/other" in log.read_text()
        commands = [" ".join(child.cmdline()) for child in psutil.Process(second.pid).children()]
        assert ["worker start" in command for command in commands] == [True]
    finally:
        second.send_signal(signal.SIGINT)
        assert second.wait(60) == 0


def test_sigterm_leaves_no_process_and_a_sound_database(up):
    family = [psutil.Process(up.process.pid), *up.descendants()]
    assert len(family) >= 3
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(60) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive, [process.cmdline() for process in alive]
    assert up.log.read_text().endswith("SIGTERM: stopping …\nstopped\n")
    with sqlite3.connect(up.folder / ".avvp" / "prefect" / "prefect.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
