import pytest


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
