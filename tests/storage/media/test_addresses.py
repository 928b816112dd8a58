"""Addresses of media: taken apart, and refused where they are not ours to open."""

import pytest

from storage.errors import InvalidInput
from storage.media.addresses import Address, is_address, leads_out, member_key, parse_address


@pytest.mark.parametrize(
    ("text", "file", "member", "name", "stem"),
    [
        ("/data/a.b.mp4", "/data/a.b.mp4", "", "a.b.mp4", "a.b"),
        ("s3://bucket/deep/a.b.mp4", "s3://bucket/deep/a.b.mp4", "", "a.b.mp4", "a.b"),
        ("gs://bucket/a b.mp4", "gs://bucket/a b.mp4", "", "a b.mp4", "a b"),
        ("file:///data/../a.mp4", "/a.mp4", "", "a.mp4", "a"),
        ("tar://deep/a.left.mp4::/data/000.tar", "/data/000.tar", "deep/a.left.mp4", "a.left.mp4", "a"),
        ("tar://a.mp4::s3://bucket/000.tar", "s3://bucket/000.tar", "a.mp4", "a.mp4", "a"),
        ("tar://a::b.mp4::/000.tar", "/000.tar", "a::b.mp4", "a::b.mp4", "a::b"),
        ("abfs://container@account.dfs.core.windows.net/a.mp4",) * 2 + ("", "a.mp4", "a"),
    ],
)
def test_parts_of_an_address(text, file, member, name, stem):
    address = parse_address(text)
    assert (address.file, address.member) == (file, member)
    assert (address.name, address.stem) == (name, stem)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://web/a.mp4", "http:// is no storage that media are read from. Expected a local path or tar://, s3://"),
        ("ftp://host/a.mp4", "ftp:// is no storage"),
        ("reference://x", "reference:// is no storage"),
        ("tar://a.mp4", "expected tar://MEMBER::TAR"),
        ("tar://::/x.tar", "the name of a file before ::"),
        ("tar://./::/x.tar", "the name of a file before ::"),
        ("tar://a.mp4::", "expected tar://MEMBER::TAR"),
        ("tar://tar://a::b.tar::c.tar", "one tar behind it"),
        ("tar://a.mp4::sftp://host/x.tar", "sftp:// is no storage"),
    ],
)
def test_what_no_media_are_read_from(text, message):
    with pytest.raises(InvalidInput, match=message):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIAKEY:hunter2@bucket/a.mp4",
        "s3://bucket/a.mp4?X-Amz-Signature=hunter2",
        "az://box/a.mp4?sv=2026&sig=hunter2",
        "tar://a.mp4::s3://AKIAKEY:hunter2@bucket/x.tar",
    ],
)
def test_a_password_is_refused_and_not_repeated(text):
    with pytest.raises(InvalidInput, match="holds a password or a signature") as caught:
        parse_address(text)
    assert "hunter2" not in str(caught.value)
    assert "AKIAKEY" not in str(caught.value)


def test_local_paths_are_no_addresses():
    for path in ("/a/s3://b.mp4", "a.mp4", "", "a:b.mp4", "C:/a.mp4", "/tar://x::y"):
        assert not is_address(path)
        assert str(Address(path)) == path


def test_names_of_members():
    assert member_key("./a//b.mp4") == member_key("/a/b.mp4") == "a/b.mp4"
    assert [leads_out(name) for name in ("../a", "/a", "a/../b", "a/..b", "./a")] == [True, True, True, False, False]
