"""Sizes and times of many files, whether the disk is quick or slow."""

import os

import numpy as np
import pytest

from pipeline.extraction import file_stamps
from pipeline.extraction.file_stamps import FileStamps


@pytest.mark.parametrize("slow", [0.0, 1.0], ids=["in threads", "one after the other"])
def test_stamps_are_those_of_the_files(tmp_path, monkeypatch, slow):
    monkeypatch.setattr(file_stamps, "_TOGETHER", 3)
    monkeypatch.setattr(file_stamps, "_SLOW_SECONDS", slow - 1e-9)
    paths = [str(tmp_path / f"{number}.mp4") for number in range(10)]
    for number in range(0, 10, 2):
        (tmp_path / f"{number}.mp4").write_bytes(b"x" * number)
        os.utime(paths[number], ns=(5, 1_000 + number))
    found = FileStamps.of([*paths, "s3://bucket/a.mp4", "a\0b"])
    assert found.there.tolist() == [True, False] * 5 + [False, False]
    assert found.sizes[:10:2].tolist() == [0, 2, 4, 6, 8]
    assert found.mtimes[:10:2].tolist() == [1_000, 1_002, 1_004, 1_006, 1_008]
    differs = found.differ(sizes=found.sizes, mtimes=np.where(found.mtimes == 1_004, 7, found.mtimes))
    assert np.flatnonzero(differs).tolist() == [4]


def test_no_files():
    assert len(FileStamps.of([]).there) == 0
