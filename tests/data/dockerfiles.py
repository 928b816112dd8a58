"""Reads the Dockerfiles of ``docker/``, and what their install lines ask for."""

import importlib.util
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRACT = ROOT / "docker" / "extract.Dockerfile"
TRAIN = ROOT / "docker" / "train.Dockerfile"
FILES = (EXTRACT, TRAIN)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

_SPEC = importlib.util.spec_from_file_location("docker_requirements", ROOT / "docker" / "requirements.py")
docker_requirements = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(docker_requirements)


def instructions(path):
    """``(instruction, arguments)`` of a Dockerfile, continued lines joined as Docker does, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"[ \t]*\\\n[ \t]*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def of(path, name):
    return [arguments for instruction, arguments in instructions(path) if instruction == name]


def environment(path):
    return dict(pair.split("=", 1) for line in of(path, "ENV") for pair in line.split())


def arguments(path):
    return {name: value.strip('"') for name, value in (line.split("=", 1) for line in of(path, "ARG"))}


def steps(path):
    """The commands of all RUN lines."""
    return [part.strip() for line in of(path, "RUN") for part in line.split("&&")]


def system_packages(path):
    (install,) = [step for step in steps(path) if step.startswith("apt-get install")]
    return {word for word in install.split()[2:] if not word.startswith("-")}


def name_of(requirement):
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()


def extra_names(*extras):
    """Distributions that extras list, those of the extras that they name too; not the core's."""
    core = docker_requirements.requirements(PROJECT, [])
    return {name_of(line) for line in docker_requirements.requirements(PROJECT, extras) if line not in core}


def without_dependencies(path):
    """Distributions that an image installs with ``--no-deps``, but for our own."""
    words = [step.split() for step in steps(path) if step.startswith("pip install") and "--no-deps" in step]
    return {name_of(step[-1]) for step in words if step[-1] != "."}


def asked_for(path):
    """Distributions that the install lines of an image name, the core's with them."""
    lines = docker_requirements.requirements(PROJECT, arguments(path)["EXTRAS"].split())
    return {name_of(line) for line in lines} | without_dependencies(path)
