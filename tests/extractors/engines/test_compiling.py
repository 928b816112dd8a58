"""Where torch.compile cannot work, --compile is refused before a clip is read."""

import importlib.util
import shutil
import sysconfig
from pathlib import Path

import pytest

from extractors.engines import compiling
from extractors.engines.compiling import check_compile
from storage.errors import InvalidInput


@pytest.fixture(autouse=True)
def fresh():
    compiling._cpp_problem.cache_clear()
    yield
    compiling._cpp_problem.cache_clear()


def script(tmp_path, text):
    path = tmp_path / "compiler"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_compiler_that_is_absent_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InvalidInput, match=r"on a CPU, .*: no no-such-compiler on the path.*leave --compile out"):
        check_compile("cpu")


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", script(tmp_path, "echo 'trial.cpp:1: fatal error: Python.h: No such file' >&2; exit 1"))
    with pytest.raises(InvalidInput, match=r"fatal error: Python\.h: No such file"):
        check_compile("cpu")
    compiling._cpp_problem.cache_clear()
    monkeypatch.setenv("CXX", script(tmp_path, "exit 3"))
    with pytest.raises(InvalidInput, match="compiler ended with 3"):
        check_compile("cpu")


def test_the_trial_is_made_once(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", script(tmp_path, f"echo run >> {tmp_path}/runs"))
    check_compile("cpu")
    check_compile("cpu")
    assert (tmp_path / "runs").read_text() == "run\n"


def test_the_trial_is_cpp_that_a_compiler_takes(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    if shutil.which("g++") is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("no g++, or no headers of Python")
    check_compile("cpu")


def test_a_gpu_needs_triton_and_a_c_compiler(monkeypatch):
    there = {"triton": object()}
    monkeypatch.setattr(importlib.util, "find_spec", there.get)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/gcc" if name == "gcc" else None)
    monkeypatch.delenv("CC", raising=False)
    check_compile("cuda:0")
    monkeypatch.setenv("CC", "icc")
    with pytest.raises(InvalidInput, match="needs a C compiler on a GPU too, for Triton: no icc on the path"):
        check_compile("cuda:0")
    there.clear()
    with pytest.raises(InvalidInput, match="needs Triton on a GPU: pip install triton, or leave --compile out"):
        check_compile("cuda:0")
