"""Worker processes: order, memory, deadlines, and every way to die."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import psutil
import pytest

from extractors.views import AudioView, FrameView
from pipeline.decode.clip_buffer import DecodeRequest, DecodeShape
from pipeline.decode.media import death
from pipeline.extraction.workers import DecodePool
from storage.schema import Status

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


def test_order_memory_and_statuses(paths, tmp_path):
    asked = []

    def requests():
        for number in range(12):
            asked.append(number)
            yield request(paths[number % 4] if number != 5 else tmp_path / "absent.mp4", number)

    with DecodePool(SHAPE, workers=2, slabs=4) as pool:
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
    assert seen == [f"clip{n}" for n in range(12)]
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


def test_a_hang_ends_at_the_deadline_and_the_next_clip_is_fine(paths):
    with DecodePool(SHAPE, workers=1, deadline_seconds=1.0) as pool:
        stream = pool.decode(request(paths[0], n) for n in range(6))
        next(stream).release()
        (worker,) = pool.worker_pids
        os.kill(worker, signal.SIGSTOP)
        reports = []
        for decoded in stream:
            reports.append(decoded.report)
            decoded.release()
        assert not psutil.pid_exists(worker)
    late = [report for report in reports if report.status == Status.TIMEOUT]
    assert len(late) <= 1
    assert all(report.reason == "no result within 1 s" for report in late)
    assert all(report.status in (Status.OK, Status.TIMEOUT) for report in reports)


def test_a_clip_that_kills_every_worker_is_given_up():
    killed = death("the decode worker", [-9, -9, -9])
    assert killed.status == Status.OUT_OF_MEMORY
    assert "the decode worker was killed 3 times (signal 9)" in killed.reason
    crashed = death("the decode worker", [-9, -11, -11])
    assert (crashed.status, crashed.reason) == (
        Status.DECODE_ERROR,
        "the decode worker crashed (signal 11), 3 times",
    )


def test_leaving_early_gives_every_slab_back(paths):
    with DecodePool(SHAPE, workers=2, slabs=3) as pool:
        for _ in range(2):
            for decoded in pool.decode(request(path) for path in paths * 3):
                decoded.release()
                break
        assert wait_until(lambda: pool._free.qsize() == 3)
        with pytest.raises(ValueError, match="but the pool decodes to"):
            next(pool.decode([DecodeRequest("x", "x", clip_seconds=3)]))
    with pytest.raises(RuntimeError, match="closed"):
        next(pool.decode([request(paths[0])]))


def test_more_workers_start_only_for_a_caller_that_waits(paths, monkeypatch):
    jobs = []
    with DecodePool(SHAPE, workers=3, slabs=9) as pool:
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
    script.write_text(textwrap.dedent(SCRIPT))
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, str(script), paths[0]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
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
import signal, time
from pathlib import Path
from pipeline.extraction.worker_process import BareSpawnContext
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
worker = BareSpawnContext().Process(target=time.sleep, args=(60,))
worker.start()
words = Path(f"/proc/{worker.pid}/status").read_text().partition("SigBlk:")[2].split()
worker.kill()
print(int(words[0], 16) >> (signal.SIGINT - 1) & 1)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_ctrl_c_does_not_reach_the_first_worker_while_it_starts():
    # The first worker of a process starts Python's resource tracker, which unblocks the signal in its thread.
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", FIRST_WORKER], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


def test_workers_start_without_torch():
    code = "import sys, pipeline.extraction.worker_process, decord; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
