"""A folder of the user's with the name of one of our packages: one line with its path, and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(folder, *arguments, first=""):
    """Start Python in a folder; ours is found by ``PYTHONPATH``, behind ``first``."""
    path = os.pathsep.join(filter(None, [first, str(ROOT)]))
    command = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(params=["package", "folder of modules", "module"])
def hide(request, tmp_path):
    """Make something that hides one of our packages."""

    def make(name):
        if request.param == "module":
            place = tmp_path / f"{name}.py"
            place.touch()
            return place
        place = tmp_path / name
        place.mkdir()
        (place / ("__init__.py" if request.param == "package" else "mine.py")).touch()
        return place if request.param == "package" else None

    return make


@pytest.mark.parametrize("module", ["pipeline.train", "pipeline.evaluate", "pipeline.cli", "avvp"])
@pytest.mark.parametrize("name", ["storage"])
def test_a_module_of_ours_says_which_folder_hides_storage(tmp_path, hide, module, name):
    place = hide(name)
    done = run(tmp_path, "-m", module, "--help")
    if place is None:  # ours, a whole package, is found before a folder without __init__.py
        assert done.returncode == 0
        return
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert f"{place} hides the package 'storage' of avvp-pipeline. Rename it" in line


@pytest.mark.parametrize("name", ["storage", "extractors", "pipeline", "flows"])
def test_the_command_says_which_folder_on_the_path_hides_ours(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    done = run(tmp_path, "-c", "import avvp; avvp.main()", "--help", first=str(tmp_path))
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"avvp: {tmp_path / name} hides the package {name!r}")


def test_nothing_hides_ours_here(tmp_path):
    assert run(tmp_path, "-c", "import avvp; print(avvp.shadowing())").stdout.strip() == "None"
    assert run(tmp_path, "-m", "avvp", "--version").returncode == 0
