"""The content address of a clip, and how often a file is read for it."""

import hashlib
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from extractors.views import FrameView
from pipeline.decode import fingerprint
from pipeline.decode.clip_buffer import DecodeRequest, DecodeShape
from pipeline.decode.fingerprint import Digests, clip_fingerprint, span_fingerprint
from pipeline.extraction.workers import DecodePool
from storage.clips import Clip
from storage.schema import Status

COUNTING = """
import hashlib, os
plain = hashlib.file_digest
def counted(file, name):
    with open(os.environ["COUNTED"], "a") as log:
        log.write(f"{os.getpid()} {file.name}\\n")
    return plain(file, name)
hashlib.file_digest = counted
"""
"""For worker processes: what is hashed, and by whom."""


def expected(data, span):
    return hashlib.sha256(data + f"\n{span[0]!r}\t{span[1]!r}".encode()).hexdigest()


@pytest.fixture
def read(monkeypatch):
    """Names of the files that are hashed in this process."""
    names, plain = [], hashlib.file_digest

    def counted(file, name):
        names.append(os.path.basename(file.name))  # noqa: PTH119 - a text
        return plain(file, name)

    monkeypatch.setattr(fingerprint.hashlib, "file_digest", counted)
    return names


def test_bytes_and_span_tell_clips_apart(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    for span in ((0.0, None), (10.0, 20.0)):  # the second time the bytes are not read again
        assert span_fingerprint(str(path), start_seconds=span[0], end_seconds=span[1]) == expected(b"one", span)
    path.write_bytes(b"other bytes")
    assert span_fingerprint(str(path), start_seconds=0.0, end_seconds=None) == expected(b"other bytes", (0.0, None))
    assert span_fingerprint(str(tmp_path / "no"), start_seconds=0.0, end_seconds=None) == ""
    assert clip_fingerprint(Clip("a", "s3://bucket/a.mp4")) == ""


def test_a_source_is_read_once_however_its_clips_come(tmp_path, read):
    for number in range(20):
        (tmp_path / f"{number}.mp4").write_bytes(bytes([number]) * 100)
    seen = set()
    for clip in range(5):  # the clips of twenty sources, in turn
        for number in range(20):
            span = (clip * 10.0, clip * 10.0 + 10.0)
            seen.add(span_fingerprint(str(tmp_path / f"{number}.mp4"), start_seconds=span[0], end_seconds=span[1]))
    assert len(seen) == 100
    assert sorted(read) == sorted(f"{number}.mp4" for number in range(20))
    (tmp_path / "7.mp4").write_bytes(b"changed")
    assert span_fingerprint(str(tmp_path / "7.mp4"), start_seconds=0.0, end_seconds=None) not in seen
    assert Counter(read)["7.mp4"] == 2


def test_threads_read_a_file_once(tmp_path, read):
    (tmp_path / "a.mp4").write_bytes(b"1" * 2_000_000)
    start = threading.Barrier(8)

    def ask(_):
        start.wait()
        return span_fingerprint(str(tmp_path / "a.mp4"), start_seconds=0.0, end_seconds=None)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {expected(b"1" * 2_000_000, (0.0, None))}
    assert read == ["a.mp4"]


def test_few_digests_are_kept_and_none_of_a_file_that_is_being_written(tmp_path, read, monkeypatch):
    digests = Digests(remembered=3)
    for name in "abcda":
        (tmp_path / name).write_bytes(name.encode()) if not (tmp_path / name).exists() else None
        assert digests.of(str(tmp_path / name)).hexdigest() == hashlib.sha256(name.encode()).hexdigest()
    assert read == list("abcda")
    assert len(digests._known) == 3
    states = iter([(1,), (2,), (1,), (1,)])
    monkeypatch.setattr(fingerprint, "file_state", lambda path: next(states))
    for _ in range(2):
        digests.of(str(tmp_path / "a"))
    assert read[5:] == ["a", "a"]
    assert digests._reading == {}


def test_a_file_that_cannot_be_read_holds_up_nobody(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"1")
    digests = Digests()

    def broken(file, name):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(fingerprint.hashlib, "file_digest", broken)
        with pytest.raises(OSError, match="Input/output"):
            digests.of(str(tmp_path / "a"))
    assert digests.of(str(tmp_path / "a")).hexdigest() == hashlib.sha256(b"1").hexdigest()


def test_a_run_reads_a_source_once_a_worker(clip, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(COUNTING)
    monkeypatch.setenv("COUNTED", str(tmp_path / "log"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    view = FrameView(2, 32, "squash")
    sources = [clip(f"long{number}.mp4", 6, "-vf", f"hue=h={90 * number}") for number in range(3)]
    requests = [
        DecodeRequest(f"{number}.{start}", sources[number], start, start + 2.0, clip_seconds=2, frame_views=(view,))
        for start in (0.0, 1.0, 2.0, 3.0, 4.0)
        for number in range(3)
    ]
    with DecodePool(DecodeShape(2, (view,)), workers=2) as pool:
        prints = set()
        for decoded in pool.decode(requests):
            assert decoded.report.status == Status.OK
            prints.add(decoded.report.fingerprint)
            decoded.release()
    assert len(prints) == 15
    times = Counter((tmp_path / "log").read_text().splitlines())
    assert set(times.values()) == {1}  # no worker has read a source twice
    assert 3 <= len(times) <= 6
