import os
import subprocess
import sys

import pytest
import torch
from numba.np.numpy_support import carray

from extractors import openmp
from extractors.openmp import FIRST_WORD, floats_at, take

pytestmark = pytest.mark.skipif(openmp.library() is None, reason="torch brings no GNU OpenMP library here")

LOOPS = """
import torch
from numba.np.numpy_support import carray
from extractors.openmp import FIRST_WORD, floats_at, run
from little import constants

NUMBER = constants.NUMBER

def part(address):
    work = carray(address, (FIRST_WORD + 1,))
    carray(floats_at(work[FIRST_WORD]), (1,))[0] = NUMBER

def main():
    torch.set_num_threads(1)
    out = torch.zeros(1)
    run(part, out.data_ptr())
    print(int(out))
"""


@pytest.fixture
def little(tmp_path):
    """Runs a compiled loop of a package of its own, whose constant lies in another module."""
    folder = tmp_path / "little"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "loops.py").write_text(LOOPS)

    def result(number, before="pass"):
        (folder / "constants.py").write_text(f"NUMBER = {number}\n")
        path = os.pathsep.join([str(tmp_path), *sys.path])
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": path}
        command = [sys.executable, "-c", f"from little.loops import main; {before}; main()"]
        return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    return result


def test_code_kept_on_disk_is_not_used_when_a_module_beside_it_changed(little, tmp_path):
    assert little(1) == 1
    kept = set((tmp_path / "cache").rglob("*.nb*"))
    assert kept
    assert little(1) == 1
    assert set((tmp_path / "cache").rglob("*.nb*")) == kept
    assert little(2) == 2


def test_a_full_disk_does_not_keep_loops_from_being_compiled(little):
    no_room = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))"
    assert little(3, before=no_room) == 3


def write_down(address):
    """A compiled loop. Numbers: where to, products, tiles, least and most. To each tile of a part its size is added."""
    work = carray(address, (FIRST_WORD + 5,))
    out, products, tiles, least, most = work[3], work[4], work[5], work[6], work[7]
    product, first, end = take(work, products, tiles, least, most)
    while product < products:
        for tile in range(first, end):
            carray(floats_at(out + 4 * (product * tiles + tile)), (1,))[0] += end - first
        product, first, end = take(work, products, tiles, least, most)


@pytest.mark.parametrize(
    ("products", "tiles", "least", "most"), [(1, 129, 4, 7), (81, 5, 4, 28), (3, 40, 2, 28), (1, 1, 4, 7)]
)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_tile_is_taken_once_in_parts_of_allowed_sizes(products, tiles, least, most, threads):
    before, sizes = torch.get_num_threads(), torch.zeros(products, tiles)
    try:
        torch.set_num_threads(threads)
        openmp.run(write_down, sizes.data_ptr(), products, tiles, least, most)
    finally:
        torch.set_num_threads(before)
    assert sizes.max() <= most
    for row in sizes.int().tolist():
        at, parts = 0, []
        while at < tiles:
            parts.append(row[at])
            assert row[at : at + parts[-1]] == [parts[-1]] * parts[-1]
            at += parts[-1]
        assert at == tiles
        assert min(parts[:-1], default=least) >= least


def test_parts_become_smaller_towards_the_end():
    sizes = torch.zeros(64)
    openmp.run(write_down, sizes.data_ptr(), 1, 64, 2, 64)
    assert sizes[0] > 2 >= sizes[-1]
    assert sizes.sort(descending=True).values.equal(sizes)
