"""The whole way with clips in tars: extract, status, inspect, and what cannot take them."""

import io
import json
import tarfile

import numpy as np
import pytest

from pipeline import features_of, parse
from storage.errors import InvalidInput
from storage.store import FeatureStore

COMMAND = ("--backbone", "toy_visual", "--backbone", "toy_audio", "--weights", "random:3", "--clip-seconds", "2",
           "--shard-size", "4", "--workers", "2")  # fmt: skip


@pytest.fixture
def shards(six_clips, tmp_path):
    """Two tars of three clips each, as WebDataset writes them: a file and a JSON a sample."""
    folder, paths = tmp_path / "shards", sorted(six_clips.iterdir())
    folder.mkdir()
    for number in range(2):
        with tarfile.open(folder / f"{number:03d}.tar", "w") as tar:
            for path in paths[3 * number : 3 * number + 3]:
                tar.add(path, path.name)
                info = tarfile.TarInfo(f"{path.stem}.json")
                info.size, info.mtime = 2, 1.5
                tar.addfile(info, io.BytesIO(b"{}"))
    return folder


def rows_of(url, array="toy_visual"):
    return [row for record in FeatureStore.open(str(url)).ledger(array).newest().values() for row in record.rows]


def test_tars_give_the_same_bits_as_files(shards, six_clips, avvp, tmp_path):
    assert avvp("extract", "--clips", six_clips, "--store", tmp_path / "files.zarr", *COMMAND)[0] == 0
    clips = shards / "{000..001}.tar"
    code, out, err = avvp("extract", "--clips", clips, "--store", tmp_path / "tars.zarr", *COMMAND)
    assert code == 0, err
    assert "left out 6 members that are no media: .json (6)" in err
    files, tars = (FeatureStore.open(str(tmp_path / name)) for name in ("files.zarr", "tars.zarr"))
    assert tars.ids == files.ids
    for array in ("toy_visual", "toy_audio"):
        np.testing.assert_array_equal(tars.read(array), files.read(array))
    assert [row.clip_fingerprint for row in rows_of(tars.url)] == [row.clip_fingerprint for row in rows_of(files.url)]
    assert {row.mtime_ns for row in rows_of(tars.url)} == {0}
    code, out, _ = avvp("extract", "--clips", clips, "--store", tmp_path / "tars.zarr", *COMMAND)
    assert (code, "nothing to do" in out) == (0, True)
    # The same clips as files: the sizes and times differ, the bytes do not.
    code, out, _ = avvp("extract", "--clips", six_clips, "--store", tmp_path / "tars.zarr", *COMMAND)
    assert (code, "nothing to do" in out) == (0, True)


def test_a_damaged_tar_costs_its_clips_only(shards, avvp, tmp_path):
    tar = shards / "001.tar"
    tar.write_bytes(tar.read_bytes()[:-20_000])
    code, out, err = avvp("extract", "--clips", shards, "--store", tmp_path / "s.zarr", *COMMAND)
    assert code == 3
    assert "left out what follows the damage in 1 tar" in err
    rows = rows_of(tmp_path / "s.zarr")
    assert [row.status for row in rows] == [*["ok"] * 5, "unreadable"]
    assert rows[-1].reason.startswith("the tar ends in the middle of this file")
    code, out, _ = avvp("status", tmp_path / "s.zarr", "--json")
    assert json.loads(out)["arrays"]["toy_visual"]["stored"] == 5


def test_a_page_of_a_clip_in_a_tar_has_pictures(shards, avvp, tmp_path):
    assert avvp("extract", "--clips", shards, "--store", tmp_path / "s.zarr", *COMMAND)[0] == 0
    code, out, _ = avvp("inspect", tmp_path / "s.zarr", "--clip", "0 red", "--html", tmp_path / "page.html")
    assert code == 0
    assert "It has no" not in out
    assert "data:image" in (tmp_path / "page.html").read_text()
    code, out, _ = avvp("inspect", tmp_path / "s.zarr", "--clip", "0 red")
    assert f"tar://0 red.mp4::{shards}/000.tar" in out


def test_a_missing_tar_is_told_with_its_address(shards, avvp, tmp_path):
    (tmp_path / "t.csv").write_text(f"path\ntar://a.mp4::{tmp_path}/no.tar\n")
    assert avvp("extract", "--clips", tmp_path / "t.csv", "--store", tmp_path / "s.zarr", *COMMAND)[0] == 3
    out = avvp("status", tmp_path / "s.zarr")[1]
    assert "missing: its tar: no such file" in out
    assert f"looked for tar://a.mp4::{tmp_path}/no.tar" in out


def test_a_bucket_that_cannot_be_read_here_is_told_before_the_run(avvp, tmp_path, monkeypatch):
    from storage.media import packages

    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "t.csv").write_text("path\ns3://bucket/a.mp4\n")
    code, _, err = avvp("extract", "--clips", tmp_path / "t.csv", "--store", tmp_path / "s.zarr", *COMMAND)
    assert code == 2
    assert 's3:// needs s3fs, which is not installed: pip install "avvp-pipeline[s3]"' in err
    assert not (tmp_path / "s.zarr").exists()


def test_what_takes_files_only_says_so(avvp):
    code, _, err = avvp("parse", "s3://bucket/a.mp4")
    assert code == 2
    assert "s3://bucket/a.mp4: what is parsed has to be a file on this machine" in err
    with pytest.raises(InvalidInput, match="expected a file on this machine"):
        parse("s3://bucket/a.mp4")
    with pytest.raises(InvalidInput, match="expected a file on this machine"):
        features_of("tar://a.mp4::x.tar", "efficientnet_lite0")


def test_the_doctor_says_which_buckets_media_are_read_from(avvp):
    facts = json.loads(avvp("doctor", "--json")[1])
    parts = {part["name"]: part for parts in facts["parts"].values() for part in parts} if "parts" in facts else {}
    text = json.dumps(facts)
    assert "media in buckets" in parts or "media in buckets" in text
    assert "disk, TMPDIR" in text
