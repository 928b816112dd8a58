import numpy as np
import pytest

from pipeline.datasets.dataset_description import load_description
from pipeline.datasets.threshold_files import Thresholds, load_thresholds, thresholds_text
from storage.errors import InvalidInput


def test_valors_numbers():
    found = load_thresholds("valor", load_description("llp"))
    visual = [20, 15, 18, 14, 15, 18, 18, 15, 15, 15, 15, 18, 15, 15, 15, 15, 15, 15, 15, 16, 14, 15, 15, 15, 18]
    audio = [0, 0, 1, 4, 6, -2, 4, 4, 2, 2, 2, 1, 2, 3, 0, 2, 2, 2, 0, 2, -1, 2, 3, 3, 0]
    assert found.to_json() == {"audio": audio, "visual": visual}


def test_a_file_goes_round_exactly(toy, tmp_path):
    given = Thresholds(np.array([0.1, -2, 1e-9]), np.array([1 / 3, 15, 3.5]))
    path = tmp_path / "t.toml"
    path.write_text(thresholds_text(given, toy, comment="two\nlines"))
    found = load_thresholds(path, toy)
    np.testing.assert_array_equal(found.audio, given.audio)
    np.testing.assert_array_equal(found.visual, given.visual)
    path.write_text("audio = [1, 2, 3]\nvisual = [4, 5, 6.5]\n")
    assert load_thresholds(path, toy).to_json() == {"audio": [1, 2, 3], "visual": [4, 5, 6.5]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("audio = [1, 2]\nvisual = [1, 2, 3]\n", "audio: expected 3 thresholds, one a class, got 2"),
        ("audio = [1, 2, 3]\nvisual = [1, 2, 3, 4]\n", "visual: expected 3 thresholds, one a class, got 4"),
        ("audio = 3\nvisual = [1, 2, 3]\n", "audio: expected 3 thresholds, one a class, got 3"),
        ("audio = [1, 2, 3]\n", "expected thresholds for audio and visual, got audio"),
        ('audio = [1, 2, "x"]\nvisual = [1, 2, 3]\n', "the threshold of 'Rain' is 'x'"),
        ("audio = [1, 2, nan]\nvisual = [1, 2, 3]\n", "the threshold of 'Rain' is nan"),
        ("visual = [1, 2, 3]\n[audio]\nDog = 1\nCat = 2\n", "audio thresholds lack class 'Rain'"),
        ("visual = [1, 2, 3]\n[audio]\nHose = 1\n", "audio thresholds name class 'Hose', which toy lacks"),
    ],
)
def test_bad_files_are_refused(toy, tmp_path, text, message):
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        load_thresholds(path, toy)


def test_none_are_shipped_for_other_datasets(toy):
    with pytest.raises(
        InvalidInput, match="--thresholds valor: no such file, and none are shipped by that name for toy"
    ):
        load_thresholds("valor", toy)
