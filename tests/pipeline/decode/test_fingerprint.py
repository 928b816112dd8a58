"""The content address of a clip."""

import hashlib

from pipeline.decode.fingerprint import span_fingerprint


def expected(data, span):
    return hashlib.sha256(data + f"\n{span[0]!r}\t{span[1]!r}".encode()).hexdigest()


def test_bytes_and_span_tell_clips_apart(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    for span in ((0.0, None), (10.0, 20.0)):  # the second time the bytes are not read again
        assert span_fingerprint(str(path), start_seconds=span[0], end_seconds=span[1]) == expected(b"one", span)
    path.write_bytes(b"other bytes")
    assert span_fingerprint(str(path), start_seconds=0.0, end_seconds=None) == expected(b"other bytes", (0.0, None))
    assert span_fingerprint(str(tmp_path / "no"), start_seconds=0.0, end_seconds=None) == ""
