from pathlib import Path

import numpy as np
import pytest

from pipeline.extraction import fill
from pipeline.extraction.extract import extract
from pipeline.extraction.options import ExtractOptions
from storage.clips import ClipTable
from storage.store import FeatureStore

TOYS = ("toy_visual", "toy_audio", "toy_visual@2fps")


@pytest.fixture
def table(make_clip, tmp_path):
    """Good clips, one that is short, one without sound, one without pictures and one that is no media file."""
    folder = tmp_path / "clips"
    for number, colour in enumerate(("red", "green", "blue")):
        make_clip(folder / f"{number}.mp4", colour=colour, tone_hz=200 + 100 * number)
    make_clip(folder / "3 short.mp4", seconds=1)
    make_clip(folder / "4 silent.mp4", audio=False)
    make_clip(folder / "5 blind.m4a", video=False)
    (folder / "6 broken.mp4").write_bytes(b"not a video")
    return ClipTable.load(str(folder))


def run(table, url, **options):
    chosen = ExtractOptions(**{"weights": ("random:1",), "clip_seconds": 2, "shard_size": 3, "workers": 2} | options)
    return extract(table, str(url), chosen)


@pytest.fixture
def kept(toys, table, tmp_path):
    """A store that has kept frames and waveforms, the media gone."""
    url = tmp_path / "kept.zarr"
    run(table, url, backbones=("toy_audio",), keep=("frames", "waveform"))
    for clip in table.clips:
        Path(clip.path).unlink()
    return url


@pytest.mark.parametrize("on_gpu", [False, True])
def test_workers_and_this_process_make_the_same_of_what_was_kept(kept, table, tmp_path, monkeypatch, on_gpu):
    monkeypatch.setattr(fill, "feeds_gpu", lambda device: on_gpu)
    report = run(table, kept, backbones=("toy_visual", "toy_audio", "toy_visual@2fps"), rebuild=True)
    store = FeatureStore.open(str(kept))
    assert {name: store.provenance(name).source for name in store.features} == {
        "toy_visual": "decoded", "toy_audio": "decoded", "toy_visual_2fps": "decoded",
    }  # fmt: skip
    statuses = {row.id: row.status for record in store.ledger("toy_visual").newest().values() for row in record.rows}
    assert statuses == {
        "0": "ok", "1": "ok", "2": "ok", "3 short": "ok", "4 silent": "partial", "5 blind": "partial",
        "6 broken": "unreadable",
    }  # fmt: skip
    assert set(report.failed) == {"4 silent", "5 blind", "6 broken"}
    visual, audio = (store.read(name, slice(0, 7)) for name in ("toy_visual", "toy_audio"))
    assert visual[:3].argmax(-1).tolist() == [[0] * 8, [1] * 8, [2] * 8]
    assert store.valid("toy_visual", slice(0, 7)).sum(1).tolist() == [8, 8, 8, 4, 8, 0, 0]
    assert store.valid("toy_audio", slice(0, 7)).sum(1).tolist() == [2, 2, 2, 1, 0, 2, 0]
    np.testing.assert_array_equal(store.read("toy_visual_2fps", slice(0, 3)), visual[:3, ::2])
    assert np.isfinite(audio[[0, 1, 2, 5]]).all()


@pytest.mark.parametrize("on_gpu", [False, True])
def test_a_damaged_chunk_is_its_clips_failure(kept, table, monkeypatch, on_gpu):
    monkeypatch.setattr(fill, "feeds_gpu", lambda device: on_gpu)
    key = FeatureStore.open(str(kept)).direct("decoded/frames").key(1)
    chunk = kept / key
    chunk.write_bytes(chunk.read_bytes()[:-40])
    report = run(table, kept, backbones=("toy_visual",))
    assert report.failed["1"][0] == "decode_error"
    assert "verify" in report.failed["1"][1]
    assert {"0", "2", "3 short"}.isdisjoint(report.failed)
