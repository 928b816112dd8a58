import os
import subprocess
import sys

import pytest

from extractors import openmp

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
