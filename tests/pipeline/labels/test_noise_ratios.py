import zipfile

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.datasets.dataset_description import load_description
from pipeline.exchange.verify import verify
from pipeline.labels.noise_ratios import estimate_noise_ratios
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.noise_ratios import read_noise_ratios
from storage.store import FeatureStore

LLP = load_description("llp")


@pytest.fixture
def url(tmp_path):
    FeatureStore.create(tmp_path / "s.zarr", ClipTable([Clip("a", "/m")]))
    return str(tmp_path / "s.zarr")


def ends(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["pseudo-labels", "noise", *map(str, arguments)])
    return ended.value.code


def test_published_ratios_are_stored(url, tmp_path, capsys):
    audio, visual = np.linspace(0, 1, 25), np.linspace(1, 0, 25)
    np.savez(tmp_path / "noise_ratios.npz", audio=audio, visual=visual)
    assert ends("--store", url, "--import", tmp_path / "noise_ratios.npz") == 0
    said = "noise_ratios/jomold: 25 classes; of their labels 50.0 % are not heard and 50.0 % not seen"
    assert said in capsys.readouterr().out
    found = read_noise_ratios(LabelStore.open(url), "jomold", classes=LLP.classes)
    np.testing.assert_allclose(found.audio, audio, rtol=1e-6)
    np.testing.assert_allclose(found.visual, visual, rtol=1e-6, atol=1e-7)
    assert verify(url, deep=True).problems == []
    assert ends("--store", url, "--import", tmp_path / "noise_ratios.npz") == 0
    assert "nothing to do" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["inspect", url, "noise_ratios/jomold"])
    assert "not heard" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"audio": np.ones(25)}, "lacks visual; it has audio"),
        ({"audio": np.ones(25), "visual": np.ones(24)}, "visual must be 25 numbers from 0 to 1, got float64 [24]"),
        ({"audio": np.full(25, 1.5), "visual": np.ones(25)}, "audio must be 25 numbers from 0 to 1"),
        ({"audio": np.full(25, np.nan), "visual": np.ones(25)}, "audio must be 25 numbers from 0 to 1"),
        ({"audio": np.array(["x"] * 25), "visual": np.ones(25)}, "got <U1 [25]"),
    ],
)
def test_bad_files_are_one_line(url, tmp_path, capsys, arrays, words):
    np.savez(tmp_path / "r.npz", **arrays)
    assert ends("--store", url, "--import", tmp_path / "r.npz") == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_what_else_is_refused(url, tmp_path, capsys):
    assert ends("--store", url) == 2
    assert "expected --import FILE, or --run RUN with --annotations DIR" in capsys.readouterr().err
    assert ends("--store", url, "--import", tmp_path / "none.npz") == 2
    with zipfile.ZipFile(tmp_path / "z.npz", "w"):
        pass
    assert ends("--store", url, "--import", tmp_path / "z.npz") == 2
    assert "lacks audio" in capsys.readouterr().err


def test_by_hand():
    weak = np.zeros((4, 25), bool)
    weak[:3, 0] = True
    audio, visual = np.zeros((4, 25)), np.zeros((4, 25))
    audio[:, 0] = [0.9, 0.2, 0.3, 0.1]  # mean 0.375: below 0.225 is noise
    visual[:, 0] = [0.9, 0.8, 0.1, 0.0]  # mean 0.45, of 0.95 p: below 0.81 is noise
    found = estimate_noise_ratios({"audio_video": audio, "visual_video": visual}, weak, name="x", dataset=LLP)
    assert found.audio[0] == pytest.approx(1 / 3)
    assert found.visual[0] == pytest.approx(2 / 3)
    assert not found.audio[1:].any()  # classes without a label
    with pytest.raises(InvalidInput, match=r"needs visual_video \[4, 25\]"):
        estimate_noise_ratios({"audio_video": audio}, weak, name="x", dataset=LLP)
