"""What LEAP's labels attend to: arrays and pictures of a run."""

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.reports.evaluation import run_predictions
from pipeline.reports.label_attention import label_attention
from pipeline.train import run_training

SMALL = ("train.epochs=1", "model.width=16", "model.encoder.feed_forward=16")
LEAP = (*SMALL, "model.decoder.feed_forward=16", "model.decoder.heads=2", "model.decoder.blocks=3")


@pytest.fixture(scope="module")
def runs(made, tmp_path_factory):
    """A run of LEAP and one of MMIL."""
    folder = tmp_path_factory.mktemp("runs")
    for recipe, changes in (("leap-han", LEAP), ("mmil-han", SMALL)):
        run_training(
            recipe=recipe, store_url=str(made / "features.zarr"), annotations=str(made / "annotations"),
            out=folder / recipe, changes=changes, device="cpu",
        )  # fmt: skip
    return folder


def test_the_last_blocks_scores_are_the_logits_and_every_block_is_there(runs, store, annotations):
    clips = annotations.split("test").ids[2:4]
    predicted = run_predictions(runs / "leap-han", store, annotations, "test")
    found = list(label_attention(runs / "leap-han", annotations, "test", clips))
    assert [one.clip for one in found] == list(clips)
    for one in found:
        row = [str(name) for name in predicted["id"]].index(one.clip)
        for stream in ("audio", "visual"):
            assert one.scores[stream].shape == (3, 2, 25, 10)
            assert np.abs(one.scores[stream]).min(axis=(1, 2, 3)).size == 3
            logits = one.scores[stream][-1].mean(axis=0)
            np.testing.assert_allclose(1 / (1 + np.exp(-logits)), one.probability[stream], atol=1e-6)
            np.testing.assert_allclose(one.probability[stream].T, predicted[f"{stream}_segment"][row], atol=1e-6)
    assert not np.array_equal(found[0].scores["audio"][0], found[0].scores["audio"][1])
    truth = annotations.split("test").align(clips)
    np.testing.assert_array_equal(found[1].truth["visual"], truth.visual[1].T)


def test_the_command_writes_arrays_and_heat_maps(runs, made, annotations, tmp_path, capsys):
    clips = annotations.split("val").ids[:2]
    asked = [part for clip in clips for part in ("--clip", clip)]
    command = ["evaluate", "--annotations", str(made / "annotations"), "--split", "val", "--attention",
               str(tmp_path / "out/maps")]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([*command, "--run", str(runs / "leap-han"), *asked])
    assert ended.value.code == 0
    assert capsys.readouterr().out.count("attention: ") == 4
    assert {path.name for path in (tmp_path / "out/maps").iterdir()} == {
        f"{clip}.{ending}" for clip in clips for ending in ("svg", "npz")
    }
    arrays = np.load(tmp_path / f"out/maps/{clips[0]}.npz")
    assert set(arrays) == {"classes", "audio_attention", "audio_probability", "audio_truth", "visual_attention",
                           "visual_probability", "visual_truth"}  # fmt: skip
    for run, clip, words in ((runs / "mmil-han", asked, "has no label embeddings that attend"),
                             (runs / "leap-han", [], "--clip: give the id of a clip of val")):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main([*command, "--run", str(run), *clip])
        assert ended.value.code == 2
        err = capsys.readouterr().err
        assert words in err
        assert err.count("\n") == 1
