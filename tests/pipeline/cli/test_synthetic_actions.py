import pytest

from pipeline.synthetic.features import Difficulty, difficulty_of
from storage.store import FeatureStore


@pytest.mark.parametrize("kind", ["llp", "ave"])
def test_made_up_features_leave_those_alone_that_are_there(avvp, tmp_path, kind):
    make = ("synthetic", tmp_path / "toy", "--features", "--dataset", kind, "--count")
    assert avvp(*make, 12)[0] == 0
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for count in (12, 18):
        code, _, err = avvp(*make, count)
        assert (code, err.count("\n")) == (2, 1)
        assert "features.zarr: is there already. Remove it, or give a new folder" in err
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_knobs_of_made_up_features_are_told_and_kept(avvp, tmp_path):
    knobs = ("--difficulty", "hard", "--noise", 2, "--overlap", 0.2, "--frequencies", "llp", "--error-seconds", 4,
             "--label-geometry", "kinds")  # fmt: skip
    code, out, _ = avvp("synthetic", tmp_path / "made", "--features", "--count", 60, *knobs)
    assert code == 0
    assert "several events in" in out
    assert "Train on it" not in out
    made = FeatureStore.open(tmp_path / "made" / "features.zarr")
    assert difficulty_of(made) == Difficulty(noise=2, overlap=0.2, frequencies="llp", error_seconds=4)
    assert made.provenance("vggish").preprocessing["label_geometry"] == "kinds:0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--overlap", 0.2), "synthetic --overlap: is of made-up features. Add --features"),
        (("--label-geometry", "kinds"), "synthetic --label-geometry: is of made-up features"),
        (("--features", "--dataset", "ave", "--noise", 1), "Add --features alone"),
        (("--features", "--label-geometry", "glve"), "expected kinds, a .npz of label embeddings or a store"),
        (("--features", "--overlap", 0.9), "overlap 0.9: expected 0 to 0."),
    ],
)
def test_knobs_that_do_not_fit_are_refused(avvp, tmp_path, options, message):
    code, _, err = avvp("synthetic", tmp_path / "made", *options)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert not (tmp_path / "made" / "features.zarr").exists()
