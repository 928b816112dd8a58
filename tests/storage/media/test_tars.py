"""Tars read member by member: against tarfile, GNU tar, and every kind of damage."""

import gzip
import io
import os
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from storage.media.opening import NotFetched
from storage.media.tars import TarDamaged, TarReader


def add(tar, name, data=b"", **facts):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in facts.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data) if info.isreg() else None)


@pytest.fixture
def tar_of(tmp_path):
    """Make a tar of files: ``(name, {member: bytes})``."""

    def make(name, files, kind=tarfile.PAX_FORMAT):
        path = tmp_path / name
        with tarfile.open(path, "w", format=kind) as tar:
            for member, data in files.items():
                add(tar, member, data)
        return path

    return make


def names(path):
    with TarReader(str(path)) as tar:
        return [member.name for member in tar.members()]


def content(path, name):
    with TarReader(str(path)) as tar:
        member = tar.find(name)
        return None if member is None else b"".join(tar.chunks(member, chunk_bytes=700))


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_of_tarfile(tmp_path, kind):
    dice, path = random.Random(kind), tmp_path / "x.tar"
    for _ in range(40):
        with tarfile.open(path, "w", format=kind) as tar:
            if kind == tarfile.PAX_FORMAT:
                tar.pax_headers = {"comment": "of all"}
            for number in range(dice.randrange(12)):
                folder = "d" * dice.choice([1, 50, 99, 140]) if kind != tarfile.USTAR_FORMAT else "d" * 60
                name = f"{folder}/{dice.choice(['a', 'é', 'x' * 30])}{number}.mp4"
                add(tar, name, os.urandom(dice.randrange(3000)), mtime=dice.choice([0, 1.5]) if kind == 2 else 0)
                add(tar, f"dir{number}", type=tarfile.DIRTYPE)
                add(tar, f"soft{number}", type=tarfile.SYMTYPE, linkname="/etc/passwd")
                add(tar, f"hard{number}", type=tarfile.LNKTYPE, linkname=name)
        with tarfile.open(path) as tar:
            expected = [(member.name, member.offset_data, member.size) for member in tar if member.isreg()]
        with TarReader(str(path)) as ours:
            assert [(member.name, member.offset, member.size) for member in ours.members()] == expected


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=posix"], ["--format=v7"], ["--format=oldgnu", "-S"],
                                     ["--format=posix", "-S"], ["--format=gnu", "-S"]])  # fmt: skip
def test_tars_of_gnu_tar(tmp_path, options):
    if shutil.which("tar") is None or b"GNU" not in subprocess.check_output(["tar", "--version"]):
        pytest.skip("no GNU tar")
    (tmp_path / "plain.mp4").write_bytes(b"abc" * 1000)
    with (tmp_path / "holes.mp4").open("wb") as file:
        for hole in range(40):
            file.seek(hole * 100_000)
            file.write(b"x")
    path = tmp_path / "x.tar"
    subprocess.run(["tar", "-C", tmp_path, *options, "-cf", path, "holes.mp4", "plain.mp4"], check=True)
    assert names(path) == (["plain.mp4"] if "-S" in options else ["holes.mp4", "plain.mp4"])
    assert content(path, "plain.mp4") == b"abc" * 1000


def test_a_member_by_name(tar_of):
    path = tar_of("x.tar", {"./a.mp4": b"one", "b.mp4": b"two" * 1000, "a.mp4": b"again", "empty.mp4": b""})
    assert content(path, "a.mp4") == content(path, "./a.mp4") == b"one"
    assert content(path, "b.mp4") == b"two" * 1000
    assert content(path, "empty.mp4") == b""
    assert content(path, "c.mp4") is None
    with TarReader(str(path)) as tar:  # in any order, each header is read once
        assert [tar.find(name).size for name in ("b.mp4", "a.mp4", "empty.mp4")] == [3000, 3, 0]


def test_a_tar_that_is_cut_off(tar_of):
    path = tar_of("x.tar", {f"{number}.mp4": bytes([65 + number]) * 2000 for number in range(4)})
    whole = path.read_bytes()
    for size, found, reason in (
        (0, 0, "the tar is empty"), (100, 0, "this is no tar"), (512, 1, "cut off"), (2000, 1, "cut off"),
        (2560, 1, "cut off"), (2600, 1, "cut off"), (4 * 2560, 4, "cut off"), (4 * 2560 + 100, 4, "cut off"),
    ):  # fmt: skip
        path.write_bytes(whole[:size])
        seen = []
        with TarReader(str(path)) as tar:
            with pytest.raises(TarDamaged, match=reason):
                seen += [seen.append(member.name) for member in tar.members()]
            assert len(seen) == found
    path.write_bytes(whole[: 2560 + 700])
    with pytest.raises(TarDamaged, match=r"the tar ends in the middle of this file, after 188 of 2,000 bytes"):
        content(path, "1.mp4")
    assert content(path, "0.mp4") == b"A" * 2000


def test_a_damaged_header_is_not_the_end(tar_of):
    path = tar_of("x.tar", {f"{number}.mp4": b"x" * 1000 for number in range(5)})
    data = bytearray(path.read_bytes())
    data[2 * 1536 + 3] ^= 1
    path.write_bytes(data)
    with TarReader(str(path)) as tar:
        assert tar.find("1.mp4")
        with pytest.raises(TarDamaged, match=r"^the tar is damaged$"):
            tar.find("4.mp4")


def test_mutants_raise_nothing_else(tar_of):
    files = {"a" * 120 + ".mp4": b"1" * 600, "b.mp4": b"2" * 100, "é.mp4": b"3"}
    whole = tar_of("x.tar", files).read_bytes()
    path, dice, refused = tar_of("y.tar", {}), random.Random(5), 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 2, 8])):
            data[512 * dice.randrange(len(data) // 512) + dice.choice([*range(110), 124, 130, 148, 156, 300])] = (
                dice.randrange(256)
            )
        for start in range(0, len(data) - 511, 512):  # with a right checksum more of it is read
            if data[start + 257 : start + 262] == b"ustar" and dice.random() < 0.7:
                data[start + 148 : start + 156] = b" " * 8
                data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
        path.write_bytes(data)
        try:
            with TarReader(str(path)) as tar:
                for member in tar.members():
                    for _ in tar.chunks(member, chunk_bytes=1 << 20):
                        pass
        except TarDamaged:
            refused += 1
    assert 100 < refused < 600


def test_what_is_no_tar(tmp_path, tar_of):
    packed = tmp_path / "x.tar"
    packed.write_bytes(gzip.compress(tar_of("y.tar", {"a.mp4": b"1"}).read_bytes()))
    with pytest.raises(TarDamaged, match="compressed \\(gzip\\)"):
        names(packed)
    os.mkfifo(tmp_path / "fifo.tar")
    for path, reason in ((tmp_path / "fifo.tar", "is no file"), (tmp_path, "is no file"), ("/no/x.tar", "no such file"),
                         (Path("x" * 5000), "file name too long"), ("a\0b", "cannot be opened")):  # fmt: skip
        with pytest.raises(NotFetched, match=reason):
            names(path)


def test_a_header_of_any_length_is_not_read_into_memory(tmp_path, tar_of):
    path = tmp_path / "x.tar"
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = b"L", 8 << 20
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes((8 << 20) + 1024))
    with pytest.raises(TarDamaged, match="no tar, or a damaged one"):
        names(path)


def test_a_tar_in_a_bucket(tar_of):
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe_file("/tars/x.tar", tar_of("x.tar", {"a.mp4": b"one" * 900, "b.mp4": b"two"}).read_bytes())
    try:
        assert names("memory://tars/x.tar") == ["a.mp4", "b.mp4"]
        assert content("memory://tars/x.tar", "a.mp4") == b"one" * 900
        with pytest.raises(NotFetched, match="no such object") as caught:
            names("memory://tars/no.tar")
        assert caught.value.missing
    finally:
        files.rm("/tars", recursive=True)
