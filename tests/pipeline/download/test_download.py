"""``avvp download`` against a server on loopback: good, missing, slow, truncated and broken files; kills; retries."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from video_server import FLASH, FRAME, look_at, make_video, serve

from pipeline.download.one_clip import cut

pytest.importorskip("yt_dlp")

GOOD, ALSO, MISSING, SLOW, BROKEN, CUT_OFF = (name * 11 for name in ("G", "-", "M", "S", "B", "C"))


@pytest.fixture(scope="module")
def video(ffmpeg, tmp_path_factory):
    return make_video(ffmpeg, tmp_path_factory.mktemp("video") / "whole.mp4")


@pytest.fixture
def server(video):
    files = {GOOD: video, ALSO: video, SLOW: video, BROKEN: b"this is no video" * 500,
             CUT_OFF: video[: len(video) * 2 // 3]}  # fmt: skip
    with serve(files, slow=(SLOW,)) as own:
        yield own


@pytest.fixture
def table(tmp_path):
    """Write an LLP CSV; gives its path."""

    def write(*names):
        path = tmp_path / "AVVP_train.csv"
        path.write_text("filename\tevent_labels\n" + "".join(f"{name}\tDog\n" for name in names))
        return path

    return write


@pytest.fixture
def download(avvp, server):
    def run(csv, out, *more):
        return avvp("download", csv, "--out", out, "--url-template", server.url, "--rate", "none", *more)

    return run


def attempts(folder):
    return [json.loads(line) for line in (folder / "download.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("start", "end"), [(0, 10), (4, 9), (5.5, 7)])
def test_cuts_exactly_and_keeps_picture_and_sound_together(download, table, tmp_path, start, end):
    name = f"{GOOD}_{start}_{end}"
    code, out, _ = download(table(name), tmp_path / "out")
    assert (code, out.splitlines()[0].endswith("1 of 1 clip there, 0 failed")) == (0, True)
    seen = look_at(tmp_path / "out" / f"{name}.mp4")
    assert seen["video_seconds"] == pytest.approx(end - start, abs=FRAME)
    assert seen["audio_seconds"] == pytest.approx(end - start, abs=FRAME)
    assert seen["flash"] == pytest.approx(FLASH - start, abs=FRAME)
    assert seen["beep"] == pytest.approx(FLASH - start, abs=FRAME)


def test_every_bad_link_has_a_reason_and_stops_nothing(download, server, table, tmp_path):
    server.slow_seconds = 8.0
    out = tmp_path / "out"
    csv = table(*(f"{name}_2_8" for name in (MISSING, SLOW, BROKEN, CUT_OFF, GOOD)), f"{ALSO}_11.8_20", f"{ALSO}_4_14")
    code, text, _ = download(csv, out, "--socket-timeout", "1", "--deadline", "20", "--workers", "2")
    assert code == 3
    found = {row["id"]: row["status"] for row in attempts(out)}
    assert found == {
        f"{MISSING}_2_8": "http_error",
        f"{SLOW}_2_8": "timeout",
        f"{BROKEN}_2_8": "broken",
        f"{CUT_OFF}_2_8": "broken",
        f"{GOOD}_2_8": "ok",
        f"{ALSO}_11.8_20": "too_short",
        f"{ALSO}_4_14": "ok",
    }
    said = {row["id"]: row["reason"] for row in attempts(out)}
    assert "HTTP Error 404" in said[f"{MISSING}_2_8"]
    assert said[f"{ALSO}_4_14"] == "the video ends 2.00 s before the span does"
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        f"{ALSO}_4_14.mp4", f"{GOOD}_2_8.mp4", "download.jsonl",
    ]  # fmt: skip
    assert not (out / ".partial").exists()
    assert "2 of 7 clips there, 5 failed" in text
    assert "2 broken: what came cannot be decoded, or is cut off" in text


def test_a_second_run_tries_nothing_again_and_retry_failed_goes_by_reason(download, server, table, tmp_path):
    out, csv = tmp_path / "out", table(f"{GOOD}_2_8", f"{MISSING}_2_8", f"{BROKEN}_2_8")
    assert download(csv, out)[0] == 3
    server.asked.clear()
    assert download(csv, out)[0] == 3
    assert server.asked == []
    server.files = {**server.files, MISSING: server.files[GOOD], BROKEN: server.files[GOOD]}
    assert download(csv, out, "--retry-failed", "http_error,timeout")[0] == 3
    assert {name for _, name, _ in server.asked} == {MISSING}
    assert download(csv, out, "--retry-failed")[0] == 0
    assert [row["attempt"] for row in attempts(out) if row["id"] == f"{BROKEN}_2_8"] == [1, 2]


def test_status_tells_of_a_folder(download, avvp, table, tmp_path):
    download(table(f"{GOOD}_2_8", f"{MISSING}_2_8"), tmp_path / "out")
    code, out, _ = avvp("download", "--status", tmp_path / "out")
    assert code == 0
    assert "1 clip there, 1 failed" in out
    assert "HTTP Error 404: Not Found" in out


def test_deadline_ends_a_download_that_trickles(download, server, table, tmp_path):
    server.trickle = True
    code, _, _ = download(table(f"{GOOD}_2_8"), tmp_path / "out", "--deadline", "4")
    assert code == 3
    (row,) = attempts(tmp_path / "out")
    assert (row["status"], row["reason"]) == ("timeout", "not done within 4 s (--deadline)")
    assert descendants() == set()


def test_rate_spaces_the_starts(download, table, tmp_path):
    csv = table(f"{GOOD}_2_3", f"{ALSO}_2_3", f"{GOOD}_3_4")
    began = time.monotonic()
    assert download(csv, tmp_path / "out", "--rate", "1.5s", "--workers", "3")[0] == 0
    assert time.monotonic() - began > 3.0


def test_limit_and_refusals_in_a_row(download, avvp, table, tmp_path):
    csv = table(*(f"{GOOD}_{start}_{start + 1}" for start in range(9)), *(f"{ALSO}_{start}_8" for start in range(8)))
    code, out, _ = download(csv, tmp_path / "out", "--limit", "2")
    assert (code, "2 of 17 clips there, 0 failed, 15 not tried yet" in out) == (0, True)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        template = f"http://127.0.0.1:{nobody.getsockname()[1]}/{{id}}.mp4"
        code, out, _ = avvp("download", csv, "--out", tmp_path / "o2", "--url-template", template, "--rate", "none",
                            "--workers", "2")  # fmt: skip
    assert code == 3
    assert "10 clips in a row were refused" in out
    assert "network: the server could not be reached" in out


def descendants():
    """Live ffmpeg processes and download workers below this process; multiprocessing's own helpers aside."""
    helpers = ("resource_tracker", "forkserver")
    return {
        one.pid
        for one in psutil.Process().children(recursive=True)
        if one.status() != psutil.STATUS_ZOMBIE and not any(name in str(one.cmdline()) for name in helpers)
    }


def test_a_file_that_comes_whole_is_cut_as_exactly(video, tmp_path):
    (tmp_path / "whole.mp4").write_bytes(video)
    cut(tmp_path / "whole.mp4", tmp_path / "cut.mp4", start_seconds=5.3, seconds=2.5)
    seen = look_at(tmp_path / "cut.mp4")
    assert seen["video_seconds"] == pytest.approx(2.5, abs=FRAME)
    assert seen["flash"] == pytest.approx(seen["beep"], abs=FRAME / 2)


def start_process(csv, out, server, log):
    command = [sys.executable, "-m", "pipeline.cli.main", "download", csv, "--out", out, "--url-template", server.url,
               "--rate", "none", "--workers", "2"]  # fmt: skip
    root = Path(__file__).resolve().parents[3]
    # A shell's background jobs ignore SIGINT, and so would what they start.
    return subprocess.Popen(
        [*map(str, command)], cwd=root, stdout=log, stderr=log, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_it_goes_on(download, server, table, tmp_path, kill):
    server.trickle = True
    out, csv = tmp_path / "out", table(f"{GOOD}_2_8", f"{ALSO}_2_8")
    with (tmp_path / "log").open("w") as log:
        process = start_process(csv, out, server, log)
        until(lambda: any(name == GOOD for _, name, _ in server.asked) and (out / ".partial").is_dir())
        time.sleep(2.0)
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        os.kill(process.pid, kill)
        code = process.wait(20)
    assert code == (130 if kill == signal.SIGINT else -9)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert not list(out.glob("*.mp4"))
    server.trickle = False
    assert download(csv, out)[0] == 0
    assert not (out / ".partial").exists()


def test_a_killed_worker_costs_one_clip_and_two_runs_do_not_mix(server, avvp, download, table, tmp_path):
    server.trickle = True
    out, csv = tmp_path / "out", table(f"{GOOD}_2_8", f"{ALSO}_2_8")
    with (tmp_path / "log").open("w") as log:
        process = start_process(csv, out, server, log)
        until(lambda: {name for _, name, _ in server.asked} == {GOOD, ALSO})
        assert "another avvp download is filling this folder" in download(csv, out)[2]
        worker = next(one for one in psutil.Process(process.pid).children() if "spawn_main" in " ".join(one.cmdline()))
        family = worker.children(recursive=True)
        worker.kill()
        server.trickle = False
        assert process.wait(60) == 3
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    assert sorted((row["status"], row["reason"]) for row in attempts(out)) == [
        ("error", "the worker ended with code -9"),
        ("ok", ""),
    ]


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
