import shutil
from pathlib import Path

import pytest
import torch

from pipeline.datasets.llp import load_annotations
from pipeline.models.config import SYSTEMS
from pipeline.models.official.loading import official_layout
from pipeline.synthetic.features import write_features
from storage.store import FeatureStore


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with a store of made-up features and its annotations."""
    folder = tmp_path_factory.mktemp("features")
    write_features(folder, count=60, seed=1)
    return folder


@pytest.fixture(scope="session")
def shared():
    found = Path(__file__).resolve().parents[4] / "shared"
    if not found.is_dir():
        pytest.skip("needs ../shared, which is not part of the project")
    return found


@pytest.fixture(scope="session")
def state_file(tmp_path_factory, random_state):
    """A function: a file with random weights of a published system."""
    folder = tmp_path_factory.mktemp("official")

    def make(system, **changed):
        path = folder / f"{system}{'-changed' if changed else ''}.pt"
        if changed or not path.exists():
            torch.save(random_state(official_layout(SYSTEMS[system]).shapes | changed), path)
        return path

    yield make
    shutil.rmtree(folder)  # hundreds of megabytes


@pytest.fixture(scope="session")
def store(made):
    return FeatureStore.open(made / "features.zarr")


@pytest.fixture(scope="session")
def annotations(made):
    return load_annotations(made / "annotations")
