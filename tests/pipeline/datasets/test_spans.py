import numpy as np
import pytest

from pipeline.datasets.spans import true_runs


@pytest.mark.parametrize(
    ("present", "runs"),
    [("", []), ("000", []), ("111", [(0, 3)]), ("0110010", [(1, 3), (5, 6)]), ("10011", [(0, 1), (3, 5)])],
)
def test_runs(present, runs):
    assert true_runs(np.array([letter == "1" for letter in present], dtype=bool)) == runs
