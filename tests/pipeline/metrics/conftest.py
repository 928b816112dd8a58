import json

import numpy as np
import pytest


@pytest.fixture(scope="session")
def oracle(shared_dir):
    """212 random cases, each one video, scored by the published code; arrays are [cases, classes, segments]."""
    folder = shared_dir / "reference/oracles/metrics"
    if not (folder / "random_cases.npz").is_file():
        pytest.skip(f"no oracle in {folder}")
    assert json.loads((folder / "random_cases.json").read_text())["n_cases"] == 212
    with np.load(folder / "random_cases.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="session")
def oracle_arrays(oracle):
    """pred_audio, pred_visual, true_audio, true_visual as [videos, segments, classes] bool."""
    return [oracle[name].astype(bool).transpose(0, 2, 1) for name in ("pred_a", "pred_v", "gt_a", "gt_v")]


@pytest.fixture
def random_arrays():
    """A function: four random arrays [videos, segments, classes] with runs, not salt and pepper."""

    def make(videos=40, segments=10, classes=25, seed=0, active=0.15):
        random = np.random.default_rng(seed)

        def one():
            present = random.random((videos, 1, classes)) < active
            start = random.integers(0, segments, (videos, 1, classes))
            length = random.integers(1, segments + 1, (videos, 1, classes))
            index = np.arange(segments)[None, :, None]
            runs = (index >= start) & (index < start + length)
            return present & (runs ^ (random.random((videos, segments, classes)) < 0.1))

        return one(), one(), one(), one()

    return make
