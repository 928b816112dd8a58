"""The page of one clip: whole, self-contained, and true to the store."""

import base64
import io
import re

import numpy as np
import pytest
import toy_store as toy
from PIL import Image

from pipeline.cli.main import main
from pipeline.inspection.clip_page import clip_page
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.store import FeatureStore


def ended(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_a_page_of_features_only(tmp_path):
    store = toy.make(tmp_path / "s.zarr", kept=False, failed=[toy.table().ids[1]])
    page = clip_page(store, store.ids[0])
    assert store.ids[0] in page
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page
    picture = base64.b64decode(re.search(r"base64,([^']+)' alt='heat map of net'", page)[1])
    assert Image.open(io.BytesIO(picture)).size == (6, 32)  # steps to the right, dimensions down
    failed = clip_page(store, store.ids[1])
    assert "timeout" in failed
    assert "no result within 60 s" in failed
    assert "data:image" not in failed


def test_what_the_store_does_not_keep_comes_from_the_source_file(make_clip, tmp_path, capsys):
    path = make_clip(tmp_path / "clip.mp4", colour="red", seconds=6)
    clips = ClipTable([Clip("there", str(path)), Clip("gone", str(tmp_path / "gone.mp4"))])
    store = FeatureStore.create(tmp_path / "s.zarr", clips, clip_seconds=6)
    assert ended(["inspect", store.url, "--html", str(tmp_path / "there.html")]) == 0
    assert "--keep" not in capsys.readouterr().out
    page = (tmp_path / "there.html").read_text()
    assert page.count("alt='frame at") == 6
    assert page.count("ecoded from the source file") == 2
    assert "--keep" not in page
    first = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^']+)' title", page)[1])))
    np.testing.assert_allclose(np.asarray(first).mean(axis=(0, 1)), [255, 0, 0], atol=10)
    assert ended(["inspect", store.url, "--clip", "gone", "--html", str(tmp_path / "gone.html")]) == 0
    assert "Add --keep frames,waveform to the same avvp extract" in capsys.readouterr().out
    assert "<code>--keep frames,waveform</code>" in (tmp_path / "gone.html").read_text()


def test_kept_previews_are_shown_where_nothing_larger_is_kept(avvp, make_clip, tmp_path):
    path = make_clip(tmp_path / "clips" / "red.mp4", colour="red", seconds=3)
    store = tmp_path / "s.zarr"
    keep = ("--keep", "preview", "--clip-seconds", 3)
    assert avvp("extract", "--clips", path.parent, "--store", store, *keep)[0] == 0
    path.unlink()
    code, out, _ = avvp("inspect", store, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert (code, "--keep" in out + page) == (0, False)
    assert page.count("alt='frame at") == 3
    assert re.search(r"16000 Hz, peak 0\.\d+<", page)
    assert page.count("V") > 60
    first = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^']+)' title", page)[1])))
    np.testing.assert_allclose(np.asarray(first).mean(axis=(0, 1)), [255, 0, 0], atol=10)


@pytest.mark.slow
def test_a_page_with_frames_sound_and_log_mel(avvp, six_clips, tmp_path):
    code, _, err = avvp(
        "extract", "--clips", six_clips, "--store", tmp_path / "s.zarr", "--backbone", "toy_visual",
        "--backbone", "vggish", "--weights", "random:0", "--clip-seconds", 2, "--workers", 1,
        "--keep", "frames,waveform,logmel",
    )  # fmt: skip
    assert code == 0, err
    code, out, _ = avvp("inspect", tmp_path / "s.zarr", "--html", tmp_path / "page.html")
    assert "open it in a browser" in out
    page = (tmp_path / "page.html").read_text()
    for part in ("Frames", "Waveform", "Log-mel", "toy_visual", "vggish", "random:0"):
        assert part in page
    assert page.count("alt='frame at") == 8  # 2 s at the toy's rate
    first = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^']+)' title", page)[1])))
    np.testing.assert_allclose(np.asarray(first).mean(axis=(0, 1)), [255, 0, 0], atol=10)  # a red clip


def test_an_unknown_clip_is_one_line(tmp_path, capsys):
    store = toy.make(tmp_path / "s.zarr", kept=False)
    with pytest.raises(InvalidInput, match="no clip 'x'"):
        clip_page(store, "x")
    with pytest.raises(SystemExit) as ended:
        main(["inspect", store.url, "--clip", "x", "--html", str(tmp_path / "p.html")])
    assert ended.value.code == 2
    assert not (tmp_path / "p.html").exists()
