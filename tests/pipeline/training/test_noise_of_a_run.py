import shutil

import pytest

from pipeline.cli.main import main
from pipeline.train import run_training
from storage.labels import LabelStore
from storage.noise_ratios import read_noise_ratios


def test_noise_ratios_are_estimated_with_a_run(made, tmp_path, capsys):
    shutil.copytree(made / "features.zarr", tmp_path / "s.zarr")
    run_training(
        recipe="han", store_url=str(tmp_path / "s.zarr"), annotations=str(made / "annotations"), out=tmp_path / "run",
        changes=("train.epochs=1", "model.width=32", "model.encoder.feed_forward=32"), device="cpu",
    )  # fmt: skip
    given = ["--store", tmp_path / "s.zarr", "--run", tmp_path / "run", "--annotations", made / "annotations"]
    with pytest.raises(SystemExit) as ended:
        main(["pseudo-labels", "noise", *map(str, given)])
    assert ended.value.code == 0
    found = read_noise_ratios(LabelStore.open(tmp_path / "s.zarr"), "jomold")
    assert found.provenance.facts["estimated"] == "jomold"
    assert ((found.visual >= 0) & (found.visual <= 1)).all()
    assert found.visual.mean() > found.audio.mean()  # an untrained model is near the mean: below 1.8 times of it
    assert "not heard" in capsys.readouterr().out
