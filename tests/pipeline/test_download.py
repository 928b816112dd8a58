"""``avvp download`` against a server on loopback: good, missing, slow, truncated and broken files; kills; retries."""

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import psutil
import pytest

from pipeline.build.download_clip import cut

pytest.importorskip("yt_dlp")

FRAME = 1 / 25
FLASH = 6.0
GOOD, ALSO, MISSING, SLOW, BROKEN, CUT_OFF = (name * 11 for name in ("G", "-", "M", "S", "B", "C"))


@pytest.fixture(scope="module")
def video(ffmpeg, tmp_path_factory):
    """12 s with one key frame; from 6.0 to 6.2 s it flashes and beeps."""
    file = tmp_path_factory.mktemp("video") / "whole.mp4"
    at = f"between(t,{FLASH},{FLASH + 0.2})"
    picture = f"color=black:s=96x64:r=25:d=12,drawbox=c=white:t=fill:enable='{at}'"
    sound = f"aevalsrc='if({at},0.8*sin(2*PI*1000*t),0)':s=44100:d=12"
    codecs = ("-c:v", "libx264", "-g", "999", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart")
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, *codecs, file)
    return file.read_bytes()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves files by name, with ranges, as video hosts do."""

    files: ClassVar = {}
    asked: ClassVar = []
    slow_seconds = 0.0
    trickle = False

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        name = self.path.strip("/").removesuffix(".mp4")
        type(self).asked.append((self.command, name, time.monotonic()))
        if name == SLOW:
            time.sleep(self.slow_seconds)
        data = self.files.get(name)
        if data is None:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if self.headers.get("Range") else 200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "GET":
            self.send(data[start:])

    def send(self, data):
        step = 2000 if self.trickle else len(data)
        try:
            for at in range(0, len(data), max(step, 1)):
                self.wfile.write(data[at : at + step])
                time.sleep(0.5 if self.trickle else 0)
        except OSError:
            pass


@pytest.fixture
def server(video):
    """A server on a free port; gives its handler class, with ``url``."""

    class Own(Handler):
        files: ClassVar = {
            GOOD: video,
            ALSO: video,
            SLOW: video,
            BROKEN: b"this is no video" * 500,
            CUT_OFF: video[: len(video) * 2 // 3],
        }
        asked: ClassVar = []

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Own.url = f"http://127.0.0.1:{server.server_port}/{{id}}.mp4"
    yield Own
    server.shutdown()
    server.server_close()


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


def look_at(path):
    """Length of each stream in seconds, and when it flashes and beeps."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(stream)]
        rate = stream.rate
    samples = np.concatenate([part for _, part in parts])
    loud = np.flatnonzero(np.abs(samples) > 0.2)
    return {
        "video_seconds": frames[-1][0] + FRAME,
        "audio_seconds": parts[0][0] + len(samples) / rate,
        "flash": next(at for at, light in frames if light > 128),
        "beep": parts[0][0] + loud[0] / rate,
    }


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
    assert 3.0 < time.monotonic() - began < 9.0


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
    """Live ffmpeg processes and download workers below this process."""
    found = psutil.Process().children(recursive=True)
    return {
        one.pid
        for one in found
        if one.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in str(one.cmdline())
    }


def test_a_file_that_comes_whole_is_cut_as_exactly(video, tmp_path):
    (tmp_path / "whole.mp4").write_bytes(video)
    cut(tmp_path / "whole.mp4", tmp_path / "cut.mp4", start_seconds=5.3, seconds=2.5)
    seen = look_at(tmp_path / "cut.mp4")
    assert seen["video_seconds"] == pytest.approx(2.5, abs=FRAME)
    assert seen["flash"] == pytest.approx(seen["beep"], abs=FRAME / 2)


def start_process(csv, out, server, log):
    command = [sys.executable, "-m", "pipeline.cli", "download", csv, "--out", out, "--url-template", server.url,
               "--rate", "none", "--workers", "2"]  # fmt: skip
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen([*map(str, command)], cwd=root, stdout=log, stderr=log, start_new_session=True)


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


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
