"""``docker/requirements.py``: what the images ask pip for."""

import shutil
import subprocess
import sys

import pytest
from dockerfiles import PROJECT, ROOT, docker_requirements

requirements = docker_requirements.requirements
TABLE = {
    "name": "our-own",
    "dependencies": ["a>=1", "b"],
    "optional-dependencies": {
        "one": ["c<2", "b"],
        "two": ["our-own[one]", "d"],
        "three": ["our-own[two,one]", "our-own-plugin[one]"],
        "circle": ["our-own[circle]", "e"],
    },
}


def test_the_core_alone():
    assert requirements(TABLE, []) == ["a>=1", "b"]


def test_extras_that_name_others_are_followed_and_nothing_comes_twice():
    assert requirements(TABLE, ["two", "one"]) == ["a>=1", "b", "c<2", "d"]
    assert requirements(TABLE, ["three"]) == ["a>=1", "b", "c<2", "d", "our-own-plugin[one]"]
    assert requirements(TABLE, ["circle"]) == ["a>=1", "b", "e"]


def test_an_unknown_extra_is_told():
    with pytest.raises(ValueError, match=r"no extra 'four'.*Choose from: one, two, three, circle"):
        requirements(TABLE, ["one", "four"])


def test_a_table_that_is_none_is_told():
    with pytest.raises(ValueError, match="expected a list of dependencies"):
        requirements(TABLE | {"dependencies": {}}, [])


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_our_own_package_is_never_asked_for(extra):
    found = requirements(PROJECT, [extra])
    assert set(PROJECT["dependencies"]) <= set(found)
    assert not [line for line in found if line.startswith(PROJECT["name"])]


def run(folder, *arguments):
    command = [sys.executable, str(ROOT / "docker" / "requirements.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_as_a_program(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert run(tmp_path, "s3 hdf5").stdout.splitlines() == requirements(PROJECT, ["s3", "hdf5"])
    refused = run(tmp_path, "s4")
    assert refused.returncode == 1
    assert refused.stderr.startswith("requirements.py: no extra 's4'")
    assert refused.stderr.count("\n") == 1
