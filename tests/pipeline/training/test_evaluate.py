"""Scoring anyone's predictions, by the contract that other tools rely on."""

import json
import time

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.datasets.llp import load_annotations
from pipeline.evaluate import run_evaluation
from pipeline.metrics.parsing import SCORES


def write(path, truth, audio, visual, **more):
    np.savez(path, id=np.asarray(truth.ids), audio_segment=audio, visual_segment=visual, **more)
    return str(path)


def test_nothing_predicted_on_llp_scores_what_it_must(shared, tmp_path, capsys):
    truth = load_annotations(shared / "llp").split("test")
    zeros = np.zeros(truth.audio.shape, np.float32)
    file = write(tmp_path / "p.npz", truth, zeros, zeros)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--predictions", file, "--annotations", str(shared / "llp"), "--split", "test", "--json",
              str(tmp_path / "out/s.json")])  # fmt: skip
    assert ended.value.code == 0
    scores = json.loads((tmp_path / "out/s.json").read_text())["scores"]
    assert tuple(scores) == SCORES
    assert scores["seg_a"] == pytest.approx(0.5)
    assert scores["seg_v"] == pytest.approx(100 * 121 / 1200)
    assert scores["seg_av"] == pytest.approx(14.5)
    assert scores["ev_event"] == 0


def test_the_truth_scores_100_and_half_counts(shared, tmp_path):
    truth = load_annotations(shared / "llp").split("test")
    audio, visual = truth.audio * 0.5, truth.visual * 0.5  # a probability of 0.5 counts
    began = time.perf_counter()
    scores = run_evaluation(run=None, predictions=write(tmp_path / "p.npz", truth, audio, visual),
                            annotations=str(shared / "llp"))  # fmt: skip
    assert time.perf_counter() - began < 20
    assert set(scores.values()) == {100.0}
    higher = run_evaluation(run=None, predictions=write(tmp_path / "p.npz", truth, audio, visual),
                            annotations=str(shared / "llp"), threshold=0.6)  # fmt: skip
    assert higher["seg_a"] == pytest.approx(0.5)


def test_masks(made, tmp_path):
    truth = load_annotations(made / "annotations").split("test")
    ones = np.ones(truth.audio.shape)
    union = truth.weak.astype(float)
    file = write(tmp_path / "p.npz", truth, ones, ones, union_video=union)
    annotations = str(made / "annotations")
    by_default = run_evaluation(run=None, predictions=file, annotations=annotations)
    masked = run_evaluation(run=None, predictions=file, annotations=annotations, mask="union")
    bare = run_evaluation(run=None, predictions=file, annotations=annotations, mask="none")
    assert by_default == masked
    assert bare["seg_type"] < masked["seg_type"]


def test_everything_that_can_be_printed(made, tmp_path, capsys):
    truth = load_annotations(made / "annotations").split("test")
    file = write(tmp_path / "p.npz", truth, truth.audio * 1.0, truth.visual * 1.0)
    classes = truth.dataset.classes
    (tmp_path / "t.json").write_text(json.dumps(dict.fromkeys(classes, 0.4)))
    run_evaluation(
        run=None, predictions=file, annotations=str(made / "annotations"), intervals=True, classes=True,
        overlap="every", thresholds=str(tmp_path / "t.json"), picture=f"{truth.ids[0]}={tmp_path / 'x.svg'}",
        json_file=tmp_path / "s.json",
    )  # fmt: skip
    out = capsys.readouterr().out
    for words in ("100.00 ±0.0", "overlapping (union_of_modalities)", f"| {classes[0]} |", "nothing predicted"):
        assert words in out
    assert "<svg" in (tmp_path / "x.svg").read_text()
    assert "intervals" in json.loads((tmp_path / "s.json").read_text())


@pytest.mark.parametrize("content", [b"PK\x03\x04 but no archive", b"", b"\x93NUMPY\x01\x00", None])
def test_a_file_that_holds_no_predictions_is_one_line(made, tmp_path, capsys, content):
    path = tmp_path / "p.npz"
    if content is None:
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--predictions", str(path), "--annotations", str(made / "annotations")])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert "is no predictions file (.npz)" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.pop("visual_segment"), "lacks visual_segment"),
        (lambda p: p.update(audio_segment=p["audio_segment"][:, :9]), "expected [10, 10, 25]"),
        (lambda p: p.update(id=np.array(["x"] * 10)), "10 ids are not in test, e.g. 'x'"),
        (lambda p: p.update(id=np.array([p["id"][0]] * 10)), "is there more than once"),
        (lambda p: p.update(audio_segment=np.full((10, 10, 25), np.nan)), "p.npz: audio_segment: 2500 of 2500 values"),
        (lambda p: p["visual_segment"].__setitem__((3, 0, 0), np.nan), "values are NaN, the first in video 4 of"),
        (lambda p: p.update(union_video=np.zeros((10, 7))), "p.npz: union_video: shape is [10, 7]"),
    ],
)
def test_bad_predictions_are_one_line(made, tmp_path, capsys, change, words):
    truth = load_annotations(made / "annotations").split("test")
    parts = {"id": np.asarray(truth.ids), "audio_segment": truth.audio * 1.0, "visual_segment": truth.visual * 1.0}
    change(parts)
    np.savez(tmp_path / "p.npz", **parts)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--predictions", str(tmp_path / "p.npz"), "--annotations", str(made / "annotations")])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_compare_and_info(made, tmp_path, capsys):
    truth = load_annotations(made / "annotations").split("test")
    one = write(tmp_path / "one.npz", truth, truth.audio * 1.0, truth.visual * 1.0)
    other = write(tmp_path / "other.npz", truth, truth.audio * 0.0, truth.visual * 1.0)
    with pytest.raises(SystemExit) as ended:
        main(["compare", one, other, "--annotations", str(made / "annotations"), "--picture",
              f"{truth.ids[0]}={tmp_path / 'c.svg'}"])  # fmt: skip
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "minus one.npz" in out
    assert (tmp_path / "c.svg").read_text().count("<rect") > 3
    with pytest.raises(SystemExit):
        main(["model", "info", "leap-mmpyr", "--time", "--device", "cpu"])
    out = capsys.readouterr().out
    assert "| its decoder | 7,892,992 | 145,459,200 | 145,971,200 |" in out
    assert "ms a video" in out


def test_a_published_checkpoint_is_imported(shared, tmp_path, capsys):
    import torch

    shapes = json.loads((shared / "reference/state_dicts/han.json").read_text())
    shapes = shapes.get("state_shapes", shapes.get("shapes", shapes))
    state = {name: torch.zeros(shape) for name, shape in shapes.items() if isinstance(shape, list)}
    torch.save(state, tmp_path / "HAN.pt")
    with pytest.raises(SystemExit) as ended:
        main(["checkpoint", "import", "--system", "han", str(tmp_path / "HAN.pt"), str(tmp_path / "out")])
    assert ended.value.code == 0, capsys.readouterr().err
    assert (tmp_path / "out/best/model.safetensors").is_file()
    with pytest.raises(SystemExit) as ended:
        main(["checkpoint", "import", "--system", "mmpyr", str(tmp_path / "HAN.pt"), str(tmp_path / "other")])
    assert ended.value.code == 2
