import numpy as np
import pytest

from pipeline.datasets.clip_preview import read_clip_preview, read_preview
from pipeline.extraction.extract import extract
from pipeline.extraction.options import ExtractOptions
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.store import FeatureStore


def kept(path, starts, url):
    clips = [Clip(f"clip_{start}", str(path), float(start)) for start in starts]
    extract(ClipTable(clips), str(url), ExtractOptions((), keep=("preview",), clip_seconds=3, workers=1))
    return FeatureStore.open(str(url))


@pytest.fixture
def film(ffmpeg, tmp_path):
    """Seven seconds, of which each is brighter and louder than the one before."""
    path = tmp_path / "film.mp4"
    codecs = ("-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", "-f", "mov")
    ffmpeg("-f", "lavfi", "-i", "color=black:s=64x48:r=10:d=7,geq=lum='20+30*floor(T)':cb=128:cr=128",
           "-f", "lavfi", "-i", "aevalsrc='(1+floor(t))/10*sin(2*PI*1000*t)':s=16000:d=7",
           *codecs, str(path))  # fmt: skip
    return path


@pytest.mark.parametrize("starts", [(0, 3, 4), (0, 1, 2, 3, 4)])
def test_overlapping_clips_are_one_strip(film, tmp_path, starts):
    found = read_preview(kept(film, starts, tmp_path / "s.zarr"), range(len(starts)))
    assert [second for second, _ in found.thumbnails] == list(range(7))
    assert found.thumbnails[0][1].shape == (48, 64, 3)
    shades = [int(pixels.mean()) for _, pixels in found.thumbnails]
    assert shades == sorted(set(shades))
    assert found.envelope.shape == (140, 2)
    assert found.step_seconds == 0.05
    loudness = found.envelope.reshape(7, 20, 2)[:, 2:18].mean(axis=1)
    np.testing.assert_allclose(loudness[:, 1], np.arange(1, 8) / 10, atol=0.02)
    np.testing.assert_allclose(loudness[:, 0], -np.arange(1, 8) / 10, atol=0.02)


def test_a_long_file_gives_every_nth_second(film, tmp_path):
    store = kept(film, (0, 3, 4), tmp_path / "s.zarr")
    assert [second for second, _ in read_preview(store, range(3), most=3).thumbnails] == [0, 3, 6]


def test_parts_without_sound_or_picture(make_clip, tmp_path):
    mute = kept(make_clip(tmp_path / "mute.mp4", audio=False), (0,), tmp_path / "mute.zarr")
    found = read_preview(mute, [0])
    assert (len(found.thumbnails), found.envelope.shape) == (2, (0, 2))
    dark = kept(make_clip(tmp_path / "dark.mp4", video=False), (0,), tmp_path / "dark.zarr")
    found = read_preview(dark, [0])
    assert (found.thumbnails, found.envelope.shape) == ((), (40, 2))


def test_a_gap_between_clips_has_no_sound(film, tmp_path):
    found = read_preview(kept(film, (0, 4), tmp_path / "s.zarr"), [0, 1])
    assert [second for second, _ in found.thumbnails] == [0, 1, 2, 4, 5, 6]
    assert np.isnan(found.envelope[60:80]).all()
    assert not np.isnan(found.envelope[80:]).any()


def test_a_store_without_previews(make_clip, tmp_path):
    path = make_clip(tmp_path / "a.mp4")
    url = str(tmp_path / "s.zarr")
    extract(ClipTable([Clip("a", str(path))]), url, ExtractOptions((), keep=("waveform",), clip_seconds=2, workers=1))
    with pytest.raises(InvalidInput, match=r"keeps no envelope.*avvp extract --keep preview"):
        read_preview(FeatureStore.open(url), [0])


def test_a_clip_has_a_clock_of_its_own(film, tmp_path):
    store = kept(film, (0, 4), tmp_path / "s.zarr")
    found = read_clip_preview(store, 1)
    assert [second for second, _ in found.thumbnails] == [0, 1, 2]
    assert found.envelope.shape == (60, 2)
    np.testing.assert_allclose(found.envelope.reshape(3, 20, 2)[:, 2:18, 1].mean(axis=1), (0.5, 0.6, 0.7), atol=0.02)
