"""Clips in tars: from a tar, a folder, a pattern, a bucket, a table, and for LLP's rows."""

import io
import json
import tarfile
from pathlib import Path

import fsspec
import pytest

from storage.clips import Clip, ClipTable
from storage.errors import ClipTableError, InvalidInput


def tar_of(path, *members, size=3):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name in members:
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
    return path


@pytest.fixture
def bucket():
    files = fsspec.filesystem("memory")
    yield files
    if files.exists("/b"):
        files.rm("/b", recursive=True)


def test_a_tar_is_a_table_in_its_order(tmp_path):
    tar = tar_of(
        tmp_path / "000.tar", "z.mp4", "z.json", "./deep/a.left.mp4", "deep/a.cls", "m.wav", "m.mkv", "no", ".x.mp4"
    )
    table = ClipTable.load(tar)
    assert table.ids == ["z", "deep/a", "m"]
    assert [clip.path for clip in table] == [f"tar://{name}::{tar}" for name in ("z.mp4", "deep/a.left.mp4", "m.mkv")]
    assert table.dataset == "000"
    assert table.notes == (
        "left out 3 members that are no media: .cls (1), .json (1), no suffix (1)",
        "left out 1 member that is beside video of the same name: m.wav",
    )


def test_a_folder_has_its_files_first_and_then_its_tars(tmp_path):
    (tmp_path / "f.mp4").touch()
    (tmp_path / "x.txt").touch()
    tar_of(tmp_path / "deep/1.tar", "b.mp4", "a.mp4")
    tar_of(tmp_path / "0.TAR", "c.mp4")
    table = ClipTable.load(tmp_path)
    assert table.ids == ["f", "c", "b", "a"]
    assert table[2].path == f"tar://b.mp4::{tmp_path}/deep/1.tar"
    assert table.notes == ("left out 1 file that is no media: .txt (1)",)


def test_patterns_of_tars(tmp_path, monkeypatch):
    for number in range(3):
        tar_of(tmp_path / f"shards/{number:03d}.tar", f"{number}.mp4")
    for pattern in ("shards/{000..002}.tar", "shards/*.tar", f"{tmp_path}/shards/00?.tar"):
        monkeypatch.chdir(tmp_path)
        table = ClipTable.load(pattern)
        assert table.ids == ["0", "1", "2"]
        assert table[1].path == f"tar://1.mp4::{tmp_path}/shards/001.tar"
        assert table.dataset == "shards"
    with pytest.raises(ClipTableError, match=r"shards/003.tar: no such file"):
        ClipTable.load("shards/{000..003}.tar")
    (tmp_path / "shards/x.mp4").touch()
    with pytest.raises(ClipTableError, match=r"x.mp4: a pattern names tars"):
        ClipTable.load("shards/*")


def test_two_files_of_one_sample_or_one_sample_in_two_tars(tmp_path):
    tar_of(tmp_path / "a.tar", "1.left.mp4", "1.right.mp4")
    with pytest.raises(ClipTableError, match=r"a.tar: 1.left.mp4 and 1.right.mp4 are of one sample.*tar://MEMBER::TAR"):
        ClipTable.load(tmp_path)
    tar_of(tmp_path / "a.tar", "1.mp4")
    tar_of(tmp_path / "b.tar", "1.mp4")
    with pytest.raises(ClipTableError, match=r"a.tar and .*b.tar both have the sample 1"):
        ClipTable.load(tmp_path)


def test_names_that_lead_out_or_that_no_store_can_hold_are_left_out(tmp_path):
    tar = tar_of(tmp_path / "x.tar", "../a.mp4", "/b.mp4", "c/../../d.mp4", "e\udcff.mp4", "good.mp4")
    table = ClipTable.load(tar)
    assert table.ids == ["good"]
    (note,) = table.notes
    assert note.startswith("left out 4 members that are named so that it would leave the tar")
    assert "../a.mp4, /b.mp4, c/../../d.mp4, e\\udcff.mp4" in note


def test_a_tar_that_is_not_whole_says_so_and_gives_what_it_has(tmp_path):
    whole = tar_of(tmp_path / "0.tar", "a.mp4", "b.mp4", "c.mp4", size=5000)
    (tmp_path / "1.tar").write_bytes(whole.read_bytes()[:7000])
    (tmp_path / "2.tar").touch()
    whole.unlink()
    table = ClipTable.load(tmp_path)
    assert table.ids == ["a", "b"]  # b is cut: its clip is unreadable, and says why
    assert table.notes == (
        f"left out what follows the damage in 2 tars: {tmp_path}/1.tar (the tar is cut off, after 2 clips), "
        f"{tmp_path}/2.tar (the tar is empty (0 bytes), after 0 clips)",
    )
    (tmp_path / "1.tar").unlink()
    with pytest.raises(ClipTableError, match=r"no clips \(left out what follows the damage .*the tar is empty"):
        ClipTable.load(tmp_path)


def test_addresses_in_a_table_are_left_as_they_are(tmp_path):
    rows = [
        {"path": "s3://bucket/deep/a.b.mp4"},
        {"path": "tar://m.left.mp4::s3://bucket/000.tar"},
        {"path": "tar://n.mp4::/data/000.tar", "id": "own", "start_seconds": 5, "end_seconds": 15},
        {"path": "tar://o.mp4::shards/000.tar"},
        {"path": "file:///data/p.mp4"},
        {"path": "q.mp4"},
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [
        f"{row.get('id', '')},{row['path']},{row.get('start_seconds', '')},{row.get('end_seconds', '')}" for row in rows
    ]
    (tmp_path / "t.csv").write_text("\n".join(["id,path,start_seconds,end_seconds", *lines]))
    (tmp_path / "media").mkdir()
    expected = [
        Clip("a.b", "s3://bucket/deep/a.b.mp4"),
        Clip("m", "tar://m.left.mp4::s3://bucket/000.tar"),
        Clip("own", "tar://n.mp4::/data/000.tar", 5.0, 15.0),
        Clip("o", f"tar://o.mp4::{tmp_path}/media/shards/000.tar"),
        Clip("p", "/data/p.mp4"),
        Clip("q", f"{tmp_path}/media/q.mp4"),
    ]
    for name in ("t.jsonl", "t.csv"):
        table = ClipTable.load(tmp_path / name, media=tmp_path / "media")
        assert list(table) == expected
        table.to_csv(tmp_path / "again.csv")
        assert list(ClipTable.load(tmp_path / "again.csv")) == expected


def test_a_tables_media_may_be_in_a_bucket_or_a_tar(tmp_path):
    (tmp_path / "t.csv").write_text("id,path\na,deep/a.mp4\nb,\nc,/here/c.mp4\nd,gs://other/d.mp4\n")
    paths = [clip.path for clip in ClipTable.load(tmp_path / "t.csv", media="s3://bucket/videos/")]
    assert paths == ["s3://bucket/videos/deep/a.mp4", "s3://bucket/videos/b.mp4", "/here/c.mp4", "gs://other/d.mp4"]
    tar = tar_of(tmp_path / "x.tar", "deep/a.mp4")
    (tmp_path / "t.csv").write_text("id,path\na,deep/a.mp4\nb,\n")
    paths = [clip.path for clip in ClipTable.load(tmp_path / "t.csv", media=tar)]
    assert paths == [f"tar://deep/a.mp4::{tar}", f"tar://b.mp4::{tar}"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("http://web/a.mp4", "line 2: path: http:// is no storage"),
        ("s3://me:hunter2@bucket/a.mp4", "line 2: path: this s3:// address holds a password"),
        ("tar://a.mp4", "line 2: path: expected tar://MEMBER::TAR"),
    ],
)
def test_bad_addresses_in_a_table_are_named(tmp_path, path, message):
    (tmp_path / "t.csv").write_text(f"path\n{path}\n")
    with pytest.raises(ClipTableError, match=message) as caught:
        ClipTable.load(tmp_path / "t.csv")
    assert "hunter2" not in str(caught.value)


def test_llp_finds_its_media_in_tars_and_buckets(tmp_path, bucket):
    (tmp_path / "AVVP_train.csv").write_text(
        "filename\tevent_labels\n_a-b_c_d-ef_10_20\tDog\nAP0061o0Nvk_101.8_111.8\tDog\n7nSYwyaP4QE_50_60\tDog\n"
    )
    shards = tmp_path / "shards"
    tar = tar_of(shards / "0.tar", "x/_a-b_c_d-ef.mp4", "AP0061o0Nvk_101.8_111.8.mkv")
    expected = [f"tar://x/_a-b_c_d-ef.mp4::{tar}", f"tar://AP0061o0Nvk_101.8_111.8.mkv::{tar}"]
    paths = [clip.path for clip in ClipTable.load(tmp_path / "AVVP_train.csv", media=shards)]
    assert paths == [*expected, f"{shards}/7nSYwyaP4QE_50_60.mp4"]
    (shards / "_a-b_c_d-ef.webm").touch()
    assert ClipTable.load(tmp_path / "AVVP_train.csv", media=shards)[0].path == f"{shards}/_a-b_c_d-ef.webm"
    assert [clip.path for clip in ClipTable.load(tmp_path, media=tar)][:2] == expected
    bucket.pipe_file("/b/v/7nSYwyaP4QE.mp4", b"1")
    bucket.pipe_file("/b/v/t.tar", tar.read_bytes())
    paths = [clip.path for clip in ClipTable.load(tmp_path / "AVVP_train.csv", media="memory://b/v")]
    assert paths == [
        "tar://x/_a-b_c_d-ef.mp4::memory:///b/v/t.tar",
        "tar://AP0061o0Nvk_101.8_111.8.mkv::memory:///b/v/t.tar",
        "memory:///b/v/7nSYwyaP4QE.mp4",
    ]


def test_a_folder_in_a_bucket(tmp_path, bucket):
    for name in ("v/b.mp4", "v/a.mp4", "v/a.wav", "v/deep/c.mkv", "v/.hidden/d.mp4", "v/t.txt", "w/e.mp4"):
        bucket.pipe_file(f"/b/{name}", b"1")
    bucket.pipe_file("/b/v/s.tar", tar_of(tmp_path / "s.tar", "z.mp4", "z.json").read_bytes())
    table = ClipTable.load("memory://b/v")
    assert [(clip.id, clip.path) for clip in table] == [
        ("a", "memory:///b/v/a.mp4"), ("b", "memory:///b/v/b.mp4"), ("deep/c", "memory:///b/v/deep/c.mkv"),
        ("z", "tar://z.mp4::memory:///b/v/s.tar"),
    ]  # fmt: skip
    assert table.dataset == "v"
    assert len(table.notes) == 3
    assert ClipTable.load("memory://b/v/{s,s}.tar").ids == ["z"]
    assert ClipTable.load("memory://b/*/*.tar").ids == ["z"]
    assert ClipTable.load("memory://b/v/s.tar").dataset == "s"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("memory://nothing/there", "no clips"),
        ("memory://nothing/t.csv", "a table has to be on this machine"),
        ("memory://nothing/x.tar", "memory://nothing/x.tar: no such object"),
        ("https://web/x.tar", "https:// is no storage that media are read from"),
    ],
)
def test_sources_that_cannot_be_read(source, message):
    with pytest.raises(InvalidInput, match=message):
        ClipTable.load(source)


def test_media_that_are_no_place(tmp_path):
    (tmp_path / "t.csv").write_text("id\na\n")
    for media, message in (
        (tmp_path / "no", "no such folder of media"), (tmp_path / "no.tar", "no such folder of media"),
        ("sftp://host/x", "sftp:// is no storage"), ("tar://a.mp4::x.tar", "is one file of a tar"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=message):
            ClipTable.load(tmp_path / "t.csv", media=media)


def test_a_file_that_lies_where_an_address_would(tmp_path, monkeypatch):
    """An address never means a local file, whatever folder the command is run in."""
    monkeypatch.chdir(tmp_path)
    Path("memory:/nothing").mkdir(parents=True)
    Path("memory:/nothing/a.mp4").touch()
    with pytest.raises(ClipTableError, match="no clips"):
        ClipTable.load("memory://nothing")
