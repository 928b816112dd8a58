import pytest

from pipeline.synthetic.features import write_features


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with a store of made-up features and its annotations."""
    folder = tmp_path_factory.mktemp("features")
    write_features(folder, count=60, seed=1)
    return folder
