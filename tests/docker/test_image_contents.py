"""What our code imports, against what the images install: nothing is missing at run time, nothing is unpinned."""

import ast
import re
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import grimp
import pytest
from dockerfiles import (
    EXTRACT,
    FILES,
    PROJECT,
    ROOT,
    TRAIN,
    asked_for,
    docker_requirements,
    extra_names,
    name_of,
    system_packages,
    without_dependencies,
)
from packaging.requirements import Requirement

from extractors import registry
from extractors.text import registry as embedders
from storage.extras import EXTRA_OF

OURS = ("storage", "extractors", "pipeline", "flows")
FLOWS = sorted(path.stem for path in (ROOT / "flows").glob("*.py") if path.stem != "__init__")
TRAINERS = ("pipeline.train", "pipeline.evaluate", "pipeline.reproduce", "pipeline.cli.reproduce")
TARGETS = {**registry.BACKBONES, **registry.FAMILIES, **embedders.EMBEDDERS, **embedders.FAMILIES}
LEFT_OUT = {"ray"}
"""Extras that the extract image lacks on purpose: what Ray asks for is not all in constraints.txt."""


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(*OURS, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None)


@cache
def asked_by_name(module):
    """Packages that a module of ours looks for by name: ``find_spec("x")``, ``import_module("x")``."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return set()
    calls = [node for node in ast.walk(ast.parse(Path(spec.origin).read_text())) if isinstance(node, ast.Call)]
    named = [
        call.args[0].value.partition(".")[0]
        for call in calls
        if call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        and ast.unparse(call.func).rpartition(".")[2] in {"find_spec", "import_module", "_import_without"}
    ]
    return set(named) & set(EXTRA_OF)


def extras_of(graph, module):
    """The extras whose packages a module of ours needs, with all that it imports at any time."""
    reached = graph.find_upstream_modules(module) | {module}
    outside = {name for name in reached if name.partition(".")[0] not in OURS}
    for name in reached - outside:
        outside |= asked_by_name(name)
    return {EXTRA_OF[name] for name in outside if name in EXTRA_OF}


def lacking(path, extras):
    return {extra for extra in extras if not extra_names(extra) <= asked_for(path)}


@pytest.mark.parametrize("target", sorted(set(TARGETS.values())))
def test_each_backbone_and_embedder_has_its_packages(graph, target):
    extras = extras_of(graph, target.partition(":")[0])
    assert "extract" in extras
    assert lacking(EXTRACT, extras) == set()
    assert lacking(TRAIN, extras), "the check itself finds what is missing"


@pytest.mark.parametrize("name", registry.BACKBONES)
def test_weights_that_packages_ship_are_in_the_image(name):
    shipped = [file for file in registry.create(name).weights_files if file.place == "package"]
    assert {name_of(file.origin) for file in shipped} <= asked_for(EXTRACT)
    assert bool(shipped) == (name in {"yamnet", "efficientnet_lite0"})


@pytest.mark.parametrize("name", FLOWS)
def test_each_flow_has_its_packages(graph, name):
    assert lacking(EXTRACT, extras_of(graph, f"flows.{name}")) <= LEFT_OUT


def test_nothing_else_is_left_out_of_the_extract_image():
    assert lacking(EXTRACT, set(EXTRA_OF.values())) == LEFT_OUT


@pytest.mark.parametrize("module", TRAINERS)
def test_the_trainer_has_its_packages_and_no_decoder(graph, module):
    extras = extras_of(graph, module)
    assert lacking(TRAIN, extras) == set()
    assert not extras & {"extract", "flows", "clap"}
    assert not asked_for(TRAIN) & {"torchvision", "transformers", "av", "decord2", "prefect", "laion-clap"}
    assert {"tensorboard", "scikit-learn", "h5py", "s3fs"} <= asked_for(TRAIN)


def test_programs_are_where_code_runs_them(graph):
    """ffmpeg, and the compilers of ``--compile``, in the image whose commands reach that code, and not in the other."""
    reached = graph.find_upstream_modules("pipeline.extraction") | graph.find_upstream_modules("pipeline.cli.main")
    by_trainer = set().union(*(graph.find_upstream_modules(module) for module in TRAINERS))
    for module, package in {"extractors.engines.compiling": "g++", "pipeline.decode.ffmpeg_binary": "ffmpeg"}.items():
        assert module in reached
        assert module not in by_trainer
        assert package in system_packages(EXTRACT)
        assert package not in system_packages(TRAIN)
    assert not system_packages(TRAIN) & {"gcc", "g++", "clang", "libc6-dev"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_all_that_pip_installs_is_pinned(path):
    """Follows what installed packages ask for; setuptools is torch's wish, and in no lock of pip's own habit."""
    pins = {name_of(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    lines = docker_requirements.requirements(PROJECT, re.search(r'EXTRAS="(.+)"', path.read_text())[1].split())
    waiting, seen = [Requirement(line) for line in lines], set()
    while waiting:
        wanted = waiting.pop()
        key = (name_of(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        for line in metadata.requires(wanted.name) or ():
            asked = Requirement(line)
            extras = wanted.extras or {""}
            if asked.marker is None or any(asked.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(asked)
    names = {name for name, _ in seen} | without_dependencies(path)
    assert len(names) > (200 if path == EXTRACT else 60)
    assert names - pins == {"setuptools"}
