import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.datasets.clip_preview import Preview
from pipeline.datasets.dataset_description import load_description
from pipeline.reports.timeline_picture import Track, timeline_svg


@pytest.fixture
def runs(predicted, truth):
    return [predicted("one.npz", truth.audio, truth.visual), predicted("other.npz", truth.visual, truth.audio)]


def written(folder, runs, target, *more):
    with pytest.raises(SystemExit) as ended:
        main(["compare", *map(str, runs), "--annotations", str(folder), "--timeline", str(target), *more])
    return ended.value.code


def test_truth_and_all_runs_of_the_named_clips(runs, folder, tmp_path, capsys, texts_of):
    assert written(folder, runs, tmp_path / "out", "--clip", "bbb", "--clip", "ddddddddddd_0_10") == 0
    out = capsys.readouterr().out
    assert "no thumbnails and waveform: predictions files name no store" in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bbbbbbbbbbb_0_10.svg", "ddddddddddd_0_10.svg"}
    svg = (tmp_path / "out/bbbbbbbbbbb_0_10.svg").read_text()
    texts = texts_of(svg)
    assert {"truth", "one.npz", "other.npz", "heard", "seen", "Speech", "Dog"} <= set(texts)
    assert "<image" not in svg
    assert "<title>other.npz: 0 to 4 s</title>" in svg


def test_a_clip_must_be_named(runs, folder, tmp_path, capsys):
    assert written(folder, runs, tmp_path / "out") == 2
    assert "--clip: give the id of a clip of test" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def preview():
    frames = tuple((float(second), np.full((9, 16, 3), 20 * second, np.uint8)) for second in range(10))
    envelope = np.full((200, 2), np.nan, np.float32)
    envelope[:180] = (-0.25, 0.5)
    return Preview(frames, envelope, 0.05)


def test_thumbnails_and_waveform_lie_above_the_events(preview, texts_of):
    dataset = load_description("llp")
    heard = np.zeros((10, 25), bool)
    heard[2:4, 0] = True
    tracks = [Track("truth", heard, heard & False)]
    svg = timeline_svg("clip", tracks, dataset, preview)
    assert svg.count("<image") == 10
    path = svg[svg.index("<path d='") :].partition("'")[2].partition("'")[0]
    assert path.count("M") == 180  # the last second has no sound
    xs = [float(part.split()[0]) for part in path.split("M")[1:]]
    assert 190 < min(xs) < max(xs) < 190 + 560 * 0.9
    top = float(svg.partition("rx='2' fill='#222222'><title>")[0].rpartition(" y='")[2].partition("'")[0])
    assert top > 58 + 44 + 34  # below the strip and the waveform
    assert timeline_svg("clip", tracks, dataset).count("<image") == 0
    nothing = Preview((), np.full((200, 2), np.nan, np.float32), 0.05)
    assert {"no picture", "no sound"} <= set(texts_of(timeline_svg("clip", tracks, dataset, nothing)))


def test_the_previews_of_a_store_are_drawn(six_clips, tmp_path, avvp, capsys):
    """From media to a picture: a store that keeps previews, and anyone's predictions."""
    from pipeline.extraction.extract import extract
    from pipeline.extraction.options import ExtractOptions
    from storage.clips import Clip, ClipTable

    names = [f"{number}aaaaaaaaaa_0_10" for number in range(2)]
    files = sorted(six_clips.glob("*.mp4"))[:2]
    table = ClipTable([Clip(name, str(file), 0.0, split="test") for name, file in zip(names, files, strict=True)])
    extract(table, str(tmp_path / "s.zarr"), ExtractOptions((), keep=("preview",), clip_seconds=2, workers=1))
    labels = tmp_path / "labels"
    labels.mkdir()
    rows = "".join(f"{name}\t0\t1\tDog\n" for name in names)
    for kind in ("audio", "visual"):
        (labels / f"AVVP_eval_{kind}.csv").write_text("filename\tonset\toffset\tevent_labels\n" + rows)
    (labels / "AVVP_test_pd.csv").write_text("filename\tevent_labels\n" + "".join(f"{n}\tDog\n" for n in names))
    ones = np.ones((2, 10, 25))
    np.savez(tmp_path / "p.npz", id=np.asarray(names), audio_segment=ones, visual_segment=ones)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--predictions", str(tmp_path / "p.npz"), "--annotations", str(labels), "--timeline",
              str(tmp_path / "out"), "--clip", names[1], "--store", str(tmp_path / "s.zarr")])  # fmt: skip
    assert ended.value.code == 0
    svg = (tmp_path / f"out/{names[1]}.svg").read_text()
    assert svg.count("<image") == 2
    assert svg.count("M") > 10
