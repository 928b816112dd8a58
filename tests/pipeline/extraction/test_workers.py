"""Worker processes: memory, deadlines, and every way to die."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import DecodeRequest, DecodeShape
from pipeline.decode.media import death
from pipeline.extraction import worker_process
from pipeline.extraction.error_log import error_log_path
from pipeline.extraction.workers import DecodePool
from storage.schema import Status

ROOT = Path(__file__).parents[3]

VIEW, SOUND = FrameView(8, 32, "squash"), AudioView(16_000)
SHAPE = DecodeShape(2, (VIEW,), (SOUND,))


def request(path, number=0):
    return DecodeRequest(f"clip{number}", str(path), clip_seconds=2, frame_views=(VIEW,), audio_views=(SOUND,))


def digest(decoded):
    return hashlib.sha1(decoded.frames[VIEW].pixels.tobytes() + decoded.waveforms[SOUND].samples.tobytes()).hexdigest()


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def paths(clip):
    return [clip(f"tone{n}.mp4", 2, "-vf", f"hue=h={40 * n}") for n in range(4)]


def test_completeness_memory_and_statuses(paths, tmp_path):
    asked = []

    def requests():
        for number in range(12):
            asked.append(number)
            yield request(paths[number % 4] if number != 5 else tmp_path / "absent.mp4", number)

    with DecodePool(SHAPE, workers=2, buffers=4) as pool:
        assert pool.nbytes < 5 * SHAPE.nbytes + 10_000
        seen, digests = [], {}
        for decoded in pool.decode(requests()):
            seen.append(decoded.request.clip_id)
            assert len(asked) <= len(seen) + 3
            if seen[-1] == "clip5":
                assert decoded.report.status == Status.MISSING
            else:
                assert decoded.report.status == Status.OK
                assert digests.setdefault(decoded.request.path, digest(decoded)) == digest(decoded)
            decoded.release()
        pids = pool.worker_pids
    assert sorted(seen) == sorted(f"clip{n}" for n in range(12))
    assert len(set(digests.values())) == 4
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_forty_kills_change_nothing(paths):
    expected, done, kills = {}, 0, 0
    finished = threading.Event()
    with DecodePool(SHAPE, workers=2, attempts=12) as pool:
        for decoded in pool.decode(request(path) for path in paths):
            expected[decoded.request.path] = digest(decoded)
            decoded.release()

        def kill_at_random():
            nonlocal kills
            dice = random.Random(0)
            while kills < 40 and not finished.is_set():
                time.sleep(dice.uniform(0.02, 0.7))
                pids = pool.worker_pids
                if pids:
                    kill(dice.choice(pids))
                    kills += 1

        def requests():
            while kills < 40:
                yield request(paths[done % 4], done)

        killer = threading.Thread(target=kill_at_random)
        killer.start()
        try:
            for decoded in pool.decode(requests()):
                assert decoded.report.status == Status.OK, decoded.report
                assert digest(decoded) == expected[decoded.request.path]
                decoded.release()
                done += 1
        finally:
            finished.set()
            killer.join()
    assert kills == 40
    assert done >= 4


ODD_WORKER = """
import os, sys, time
sys.path[:] = sys.argv[4:]
from pipeline.extraction import worker_process
from pipeline.extraction.error_log import error_log_path
decode_clip = worker_process.decode_clip
def odd(request, buffer):
    if request.clip_id == "hangs":
        time.sleep(60)
    if request.clip_id == "crashes":
        os.abort()
    if request.clip_id == "bug":
        (object(),)[int(request.path[-5])]
    if request.clip_id == "address":
        raise ValueError(f"no such thing: {object()}\\nsecond line")
    if request.clip_id == "panic":
        raise type("PanicException", (BaseException,), {})()
    if request.clip_id == "memory":
        raise MemoryError
    print("noise")
    return decode_clip(request, buffer)
worker_process.decode_clip = odd
worker_process.main()
"""


@pytest.fixture
def odd_workers(monkeypatch):
    """Workers that do something odd with clips of some names."""
    monkeypatch.setattr(worker_process, "_BEGIN", ODD_WORKER)


def reports_of(pool, paths, *names):
    reports = {}
    for decoded in pool.decode(replace(request(path), clip_id=name) for path, name in zip(paths, names, strict=False)):
        reports[decoded.request.clip_id] = decoded.report
        decoded.release()
    return reports


def test_a_hang_ends_at_the_deadline_and_the_next_clip_is_fine(odd_workers, paths):
    with DecodePool(SHAPE, workers=1, deadline_seconds=1.0) as pool:
        reports = reports_of(pool, paths, "hangs", "next")
    assert (reports["hangs"].status, reports["hangs"].reason) == (Status.TIMEOUT, "no result within 1 s")
    assert reports["next"].status == Status.OK


def test_a_clip_that_kills_every_worker_is_given_up(odd_workers, paths, capfd):
    with DecodePool(SHAPE, workers=1, attempts=2) as pool:
        reports = reports_of(pool, paths, "crashes", "next")
    assert reports["crashes"].status == Status.DECODE_ERROR
    assert reports["crashes"].reason == "the decode worker crashed (signal 6), 2 times"
    assert reports["next"].status == Status.OK


def test_an_internal_error_is_that_clips_report_and_logged(odd_workers, paths, tmp_path, capfd):
    log = tmp_path / "logs" / "s.zarr.log"
    with DecodePool(SHAPE, workers=1, error_log=log) as pool:
        assert wait_until(lambda: pool.worker_pids)
        (worker,) = pool.worker_pids
        reports = reports_of(pool, [paths[3], *paths], "bug", "address", "panic", "memory", "fine")
        assert pool.worker_pids == [worker]
    assert [report.status.label for report in reports.values()] == [*["decode_error"] * 3, "out_of_memory", "ok"]
    assert reports["bug"].reason == f"internal error: IndexError: tuple index out of range (logged in {log})"
    assert "ValueError: no such thing: <object object at 0x…> (logged" in reports["address"].reason
    assert "internal error: PanicException (logged" in reports["panic"].reason
    entries = log.read_text().split("\n\n")
    assert len(entries) == 4
    assert f"clip 'bug', file '{paths[3]}'\nTraceback" in entries[0]
    assert "IndexError" in entries[0]
    assert capfd.readouterr().out == ""


def test_a_log_that_cannot_be_written_ends_nothing(odd_workers, paths, tmp_path):
    (tmp_path / "file").touch()
    with DecodePool(SHAPE, workers=1, error_log=tmp_path / "file" / "log") as pool:
        reports = reports_of(pool, [paths[3]], "bug")
    assert "(not logged, " in reports["bug"].reason


def test_where_a_stores_internal_errors_go(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert error_log_path(f"{tmp_path}/llp.zarr/") == tmp_path / "llp.zarr.log"
    assert error_log_path("s3://bucket/a/llp.zarr") == tmp_path / "avvp-pipeline" / "bucket_a_llp.zarr.log"


def test_what_is_said_of_workers_that_were_killed():
    killed = death("the decode worker", [-9, -9, -9])
    assert killed.status == Status.OUT_OF_MEMORY
    assert "the decode worker was killed 3 times (signal 9)" in killed.reason
    crashed = death("the decode worker", [-9, -11, -11])
    assert (crashed.status, crashed.reason) == (
        Status.DECODE_ERROR,
        "the decode worker crashed (signal 11), 3 times",
    )


def test_leaving_early_gives_every_buffer_back(paths):
    with DecodePool(SHAPE, workers=2, buffers=3) as pool:
        for _ in range(2):
            for decoded in pool.decode(request(path) for path in paths * 3):
                decoded.release()
                break
        assert wait_until(lambda: pool._free.qsize() == 3)
        with pytest.raises(ValueError, match="but the pool decodes to"):
            next(pool.decode([DecodeRequest("x", "x", clip_seconds=3)]))
    with pytest.raises(RuntimeError, match="closed"):
        next(pool.decode([request(paths[0])]))


def test_a_slow_clip_holds_up_nobody(odd_workers, paths):
    with DecodePool(SHAPE, workers=2, buffers=5, deadline_seconds=3.0) as pool:
        pool._grow()
        names = ["hangs", *(f"clip{n}" for n in range(9))]
        reports = reports_of(pool, paths * 3, *names)
    assert list(reports)[-1] == "hangs"
    assert reports.pop("hangs").status == Status.TIMEOUT
    assert [report.status for report in reports.values()] == [Status.OK] * 9


def test_no_request_for_now_means_to_give_what_is_under_way(paths):
    with DecodePool(SHAPE, workers=1, buffers=5) as pool:
        seen = []

        def requests():
            for number in range(4):
                while number > len(seen):
                    yield None
                yield request(paths[0], number)

        for decoded in pool.decode(requests()):
            seen.append(decoded.request.clip_id)
            decoded.release()
        assert seen == [f"clip{n}" for n in range(4)]
        with pytest.raises(ValueError, match="not under way"):
            next(pool.decode([None]))


def test_more_workers_start_only_for_a_caller_that_waits(paths, monkeypatch):
    jobs = []
    with DecodePool(SHAPE, workers=3, buffers=9) as pool:
        submit = pool._submit
        monkeypatch.setattr(pool, "_submit", lambda *given: jobs.append(submit(*given)) or jobs[-1])
        for decoded in pool.decode(request(path) for path in paths * 3):
            assert wait_until(lambda: all(job.report.done() for job in jobs))
            decoded.release()
        assert len(pool._lanes) == len(pool.worker_pids) == 1
        jobs.clear()
        for decoded in pool.decode(request(path) for path in paths * 30):
            decoded.release()
        assert len(pool._lanes) == 3


def test_impossible_settings():
    with pytest.raises(ValueError, match="must be > 0"):
        DecodePool(SHAPE, workers=0)


SCRIPT = """
import sys, time
from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import DecodeRequest, DecodeShape
from pipeline.decode.media import death
from pipeline.extraction.workers import DecodePool
views = (FrameView(8, 32, "squash"),), (AudioView(16000),)
pool = DecodePool(DecodeShape(2, *views), workers=2)
def forever():
    while True:
        yield DecodeRequest("x", sys.argv[1], clip_seconds=2, frame_views=views[0], audio_views=views[1])
told = 0
for n, decoded in enumerate(pool.decode(forever())):
    decoded.release()
    if told < 2 and n > 5:
        pids = pool.worker_pids
        told = len(pids)
        if told == 2:
            print(*pids, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_do_not_outlive_the_parent(paths, tmp_path, how):
    script = tmp_path / "run.py"
    # No main guard: workers must not import it.
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script), paths[0]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        tree = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
        parent.send_signal(how)
        assert wait_until(lambda: parent.poll() is not None)
        assert wait_until(lambda: not any(psutil.pid_exists(pid) for pid in {*pids, *tree}))
        if how == signal.SIGINT:
            words = parent.stderr.read()
            assert words.count("KeyboardInterrupt") == 1, words


FIRST_WORKER = """
import signal, sys
from pathlib import Path
from pipeline.decode.clip_buffer import DecodeShape
from pipeline.extraction.workers import DecodePool
with DecodePool(DecodeShape(2), workers=1) as pool:
    while not pool.worker_pids:
        pass
    words = Path(f"/proc/{pool.worker_pids[0]}/status").read_text().partition("SigBlk:")[2].split()
print(int(words[0], 16) >> (signal.SIGINT - 1) & 1)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_ctrl_c_does_not_reach_a_worker_while_it_starts():
    done = subprocess.run([sys.executable, "-c", FIRST_WORKER], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


def test_a_kill_of_all_processes_leaves_nothing_behind(paths, tmp_path):
    def names():
        return {path.name for folder in ("/dev/shm", tempfile.gettempdir()) for path in Path(folder).glob("*")}

    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    before = names()
    with subprocess.Popen(
        [sys.executable, str(script), paths[0]],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    ) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        os.killpg(parent.pid, signal.SIGKILL)
    assert wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert not [name for name in names() - before if name.startswith(("sem.", "psm_", "avvp", "pymp"))]


def test_workers_import_what_the_parent_imports(paths, tmp_path):
    """From another folder that has a ``storage`` of its own, with a path that only ``sys.path`` knows."""
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    code = f"import sys; sys.path[:] = [{str(ROOT)!r}, *sys.path[1:]]\n" + SCRIPT.replace("if told == 2:", "if told:")
    code = code.replace("print(*pids, flush=True)", "pool.close(); print(decoded.report.status.label); break")
    done = subprocess.run(
        [sys.executable, "-c", code, paths[0]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["ok"]


def test_a_stopped_worker_costs_no_clip(paths):
    """Stopped, its deadline passes; killed, the clip is tried again."""
    with DecodePool(SHAPE, workers=1, deadline_seconds=1.0) as pool:
        stream = pool.decode(request(paths[0], n) for n in range(8))
        next(stream).release()
        (worker,) = pool.worker_pids
        os.kill(worker, signal.SIGSTOP)
        statuses = []
        for decoded in stream:
            statuses.append(decoded.report.status)
            decoded.release()
        assert not psutil.pid_exists(worker)
    assert statuses == [Status.OK] * 7


def test_workers_start_without_torch():
    code = "import sys, pipeline.extraction.worker_process, decord; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_killed_worker_leaves_nothing_of_what_it_fetched(paths, tmp_path, monkeypatch):
    temporary, tar = tmp_path / "temporary", tmp_path / "x.tar"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with tarfile.open(tar, "w") as file:
        for number, path in enumerate(paths):
            file.add(path, f"{number}.mp4")
    expected = {}
    with DecodePool(SHAPE, workers=2) as pool:
        for decoded in pool.decode(request(path) for path in paths):
            expected[decoded.request.path] = digest(decoded)
            decoded.release()
        asked = [replace(request(f"tar://{n % 4}.mp4::{tar}", n), end_seconds=2.0) for n in range(8)]
        for decoded in pool.decode(asked):
            assert decoded.report.status == Status.OK, decoded.report
            assert digest(decoded) == expected[paths[int(decoded.request.clip_id[4:]) % 4]]
            decoded.release()
        links = list(temporary.glob("avvp-media-*/*"))
        assert 1 <= len(links) <= 2  # each worker keeps the last source, of which clips are parts
        for pid in pool.worker_pids:
            kill(pid)
        assert wait_until(lambda: not any(link.exists() for link in links))
        for decoded in pool.decode([request(f"tar://0.mp4::{tar}")]):
            assert decoded.report.status == Status.OK
            decoded.release()
    assert list(temporary.iterdir()) == []
