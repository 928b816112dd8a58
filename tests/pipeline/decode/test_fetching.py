"""Clips in tars and buckets: decoded as files are, and nothing is left behind."""

import io
import os
import shutil
import tarfile
import tempfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from extractors.views import AudioView, FrameView
from pipeline.decode import fetching
from pipeline.decode.clip import decode_here
from pipeline.decode.clip_buffer import DecodeRequest
from pipeline.decode.fetching import FOLDER_VARIABLE, local_media
from pipeline.decode.media import MediaProblem
from storage.schema import Status

VIEW, SOUND = FrameView(8, 32, "squash"), AudioView(16_000)


def request(path, **facts):
    return DecodeRequest("c", str(path), clip_seconds=2, frame_views=(VIEW,), audio_views=(SOUND,), **facts)


def named(name):
    """An exception class of another library."""
    return type(name, (Exception,), {})


def open_files():
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def pixels(decoded):
    return decoded.frames[VIEW].pixels.tobytes() + decoded.waveforms[SOUND].samples.tobytes()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, which is empty afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def bucket():
    files = fsspec.filesystem("memory")
    yield files
    if files.exists("/b"):
        files.rm("/b", recursive=True)


def tar_with(path, **members):
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("sampling", ["uniform", "published"])
def test_a_member_and_an_object_decode_as_the_file(clip, tmp_path, bucket, temporary, sampling):
    path = Path(clip("tone.mp4", 2))
    plain = decode_here(request(path, sampling=sampling))
    tar = tar_with(tmp_path / "x.tar", text__txt=b"no clip", a__mp4=path.read_bytes())
    bucket.pipe_file("/b/a.mp4", path.read_bytes())
    bucket.pipe_file("/b/x.tar", tar.read_bytes())
    for place in (f"tar://a.mp4::{tar}", "memory://b/a.mp4", "tar://a.mp4::memory://b/x.tar", f"file://{path}"):
        found = decode_here(request(place, sampling=sampling))
        assert pixels(found) == pixels(plain), place
        assert found.request.path == place
        same = replace(plain.report, mtime_ns=0, seconds=found.report.seconds)
        assert found.report == same


@pytest.mark.parametrize(
    ("place", "status", "reason"),
    [
        ("memory://b/no.mp4", Status.MISSING, "no such object, or no such bucket"),
        ("tar://no.mp4::{tar}", Status.MISSING, "the tar has no file of this name"),
        ("tar://a.mp4::/nowhere/x.tar", Status.MISSING, "its tar: no such file"),
        ("tar://a.mp4::memory://b/no.tar", Status.MISSING, "its tar: no such object, or no such bucket"),
        ("tar://cut.mp4::{cut}", Status.UNREADABLE, "the tar ends in the middle of this file"),
        ("tar://later.mp4::{cut}", Status.UNREADABLE, "the tar is cut off"),
        ("tar://text.txt::{tar}", Status.UNREADABLE, ""),
        ("tar://empty.mp4::{tar}", Status.UNREADABLE, "the file is empty"),
        ("http://web/a.mp4", Status.UNREADABLE, "http:// is no storage"),
        ("gs://bucket/a.mp4", Status.UNREADABLE, "gs:// needs gcsfs, which is not installed: pip install gcsfs"),
    ],
)
def test_what_cannot_be_had_has_a_status_and_a_reason(tmp_path, bucket, temporary, place, status, reason):
    if "gs://" in place:
        import importlib.util

        if importlib.util.find_spec("gcsfs"):
            pytest.skip("gcsfs is installed")
    tar = tar_with(tmp_path / "x.tar", text__txt=b"no clip", empty__mp4=b"")
    cut = tar_with(tmp_path / "cut.tar", cut__mp4=b"1" * 5000, later__mp4=b"2")
    cut.write_bytes(cut.read_bytes()[:3000])
    report = decode_here(request(place.format(tar=tar, cut=cut))).report
    assert report.status == status
    assert report.reason.startswith(reason)
    assert report.reason


def test_the_words_of_a_library_are_not_repeated(monkeypatch, bucket, temporary):
    bucket.pipe_file("/b/a.mp4", b"1")
    for problem, reason in (
        (PermissionError("Access Denied for key AKIAHUNTER2"), "the storage refused access"),
        (OSError(5, "https://host/a?X-Amz-Signature=hunter2"), "the storage did not give it (OSError)"),
        (
            named("EndpointConnectionError")("http://user:hunter2@host"),
            "the storage cannot be reached",
        ),
        (named("NoCredentialsError")("hunter2"), "no credentials for this storage"),
    ):

        def refuse(*_, problem=problem, **__):
            raise problem

        monkeypatch.setattr(type(bucket), "_open", refuse)
        report = decode_here(request("memory://b/a.mp4")).report
        assert report.status == Status.UNREADABLE
        assert report.reason.startswith(reason)
        assert "hunter2" not in report.reason.lower()


def test_names_that_lead_out_are_written_nowhere_else(clip, tmp_path, temporary):
    data = Path(clip("tone.mp4", 2)).read_bytes()
    tar = tmp_path / "x.tar"
    members = ("../../out.mp4", f"{tmp_path}/absolute.mp4", "a.mp4/../../b.m/p4")
    with tarfile.open(tar, "w") as file:
        for name in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    before = sorted(tmp_path.rglob("*"))
    for name in members:
        with local_media(f"tar://{name}::{tar}") as path:
            assert temporary in Path(path).parents
            assert Path(path).read_bytes() == data
        assert decode_here(request(f"tar://{name}::{tar}")).report.status == Status.OK
    assert sorted(tmp_path.rglob("*")) == before


def test_the_suffix_is_kept_and_the_bytes_have_no_name(bucket, temporary):
    bucket.pipe_file("/b/a.x.MP4", b"1234")
    bucket.pipe_file("/b/a.odd suffix!", b"1234")
    with local_media("memory://b/a.x.MP4") as path:
        assert path.endswith(".MP4")
        assert Path(path).stat().st_size == 4
        if Path("/proc/self/fd").exists():
            assert Path(path).stat().st_nlink == 0
        assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    assert not Path(path).exists()
    with local_media("memory://b/a.odd suffix!") as path:
        assert Path(path).suffix == ""


def test_what_does_not_fit_is_told_before_it_is_fetched(bucket, temporary, monkeypatch):
    bucket.pipe_file("/b/a.mp4", b"1" * 5_000_000)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 2_000_000))
    report = decode_here(request("memory://b/a.mp4")).report
    assert report.status == Status.UNREADABLE
    assert report.reason == f"its 5 MB do not fit in the 2 MB free in {temporary}. TMPDIR names another place"


def test_a_full_disk_leaves_nothing(bucket, temporary, monkeypatch):
    bucket.pipe_file("/b/a.mp4", b"1" * 5_000_000)

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    opened = open_files()
    report = decode_here(request("memory://b/a.mp4")).report
    assert report.reason == f"{temporary}: cannot be written (No space left on device). TMPDIR names another place"
    assert open_files() == opened


def test_an_object_that_ends_early(bucket, temporary, monkeypatch):
    bucket.pipe_file("/b/a.mp4", b"1" * 1000)

    class Short(io.BytesIO):
        size = 2000

    monkeypatch.setattr(type(bucket), "_open", lambda *_, **__: Short(b"1" * 1000))
    report = decode_here(request("memory://b/a.mp4")).report
    assert (report.status, report.reason) == (Status.UNREADABLE, "the storage gave 1,000 of 2,000 bytes")


def test_a_worker_fetches_a_source_of_many_clips_once(clip, bucket, temporary, monkeypatch):
    bucket.pipe_file("/b/long.mp4", Path(clip("tone6.mp4", 6)).read_bytes())
    bucket.pipe_file("/b/whole.mp4", Path(clip("tone.mp4", 2)).read_bytes())
    folder, fetched = temporary / "worker", []
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    opened = fetching.open_file
    monkeypatch.setattr(fetching, "open_file", lambda file, **how: fetched.append(file) or opened(file, **how))
    try:
        spans = [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0)]
        found = [
            decode_here(request("memory://b/long.mp4", start_seconds=start, end_seconds=end)) for start, end in spans
        ]
        assert [item.report.status for item in found] == [Status.OK] * 3
        assert len({item.report.fingerprint for item in found}) == 3
        assert fetched == ["memory://b/long.mp4"]
        assert len(list(folder.iterdir())) == 1
        for _ in range(2):
            assert decode_here(request("memory://b/whole.mp4")).report.status == Status.OK
        assert fetched[1:] == ["memory://b/whole.mp4"] * 2
        assert list(folder.iterdir()) == []
    finally:
        fetching._of_worker(str(folder)).close()


def test_a_tar_that_was_mended_is_read_anew(tmp_path, temporary):
    tar = tar_with(tmp_path / "x.tar", a__mp4=b"1" * 5000)
    whole = tar.read_bytes()
    tar.write_bytes(whole[:2000])
    fetcher = fetching.Fetcher()
    with fetcher:
        with pytest.raises(MediaProblem, match="ends in the middle"):
            fetcher.fetch(f"tar://a.mp4::{tar}")
        tar.write_bytes(whole)
        assert Path(fetcher.fetch(f"tar://a.mp4::{tar}")).read_bytes() == b"1" * 5000
        tar_with(tar, a__mp4=b"2" * 6000)
        fetcher.drop()
        assert Path(fetcher.fetch(f"tar://a.mp4::{tar}")).read_bytes() == b"2" * 6000


def test_few_tars_are_open_at_once(tmp_path, temporary):
    with fetching.Fetcher() as fetcher:
        for number in range(9):
            tar = tar_with(tmp_path / f"{number}.tar", a__mp4=bytes([number]))
            assert Path(fetcher.fetch(f"tar://a.mp4::{tar}")).read_bytes() == bytes([number])
        assert len(fetcher._tars) == 4
