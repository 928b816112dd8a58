"""Importing decord: no CUDA library comes with it, and nothing stays hidden."""

import subprocess
import sys
import textwrap

import pytest

from pipeline.decode import decord_module


def run(code):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_cuda_library_is_loaded():
    loaded = run("""
        from pathlib import Path
        from pipeline.decode.decord_module import decord_module
        decord_module().VideoReader
        print(sum("/nvidia/" in line for line in Path("/proc/self/maps").read_text().splitlines()))
    """)
    assert loaded == ["0"]


def test_nothing_stays_hidden():
    found = run("""
        import importlib.util, sys
        before = importlib.util.find_spec("nvidia") is None
        from pipeline.decode.decord_module import decord_module
        decord_module()
        print(before == (importlib.util.find_spec("nvidia") is None), "nvidia" in sys.modules)
    """)
    assert found == ["True", "False"]


def test_a_build_that_needs_them_gets_them(monkeypatch):
    from types import SimpleNamespace

    calls = []

    def fake(name):
        calls.append(sys.modules.get("nvidia", "absent"))
        if len(calls) == 1:
            raise OSError("libnvcuvid.so.1: cannot open shared object file")
        return SimpleNamespace(logging=SimpleNamespace(set_level=lambda level: None, QUIET=0))

    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    monkeypatch.setattr(decord_module.importlib, "import_module", fake)
    decord_module.decord_module.__wrapped__()
    assert calls == [None, "absent"]
    assert "nvidia" not in sys.modules
