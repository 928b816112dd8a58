"""Whether torch.compile can work here: asked before a run begins, not found out by its first batch."""

from __future__ import annotations

import functools
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from storage.errors import InvalidInput

_TRIAL = "#include <Python.h>\n#include <omp.h>\n#include <vector>\nint main() { return omp_get_max_threads() < 1; }\n"
"""What the code that torch generates includes: the headers are what is missing most often."""


def check_compile(device: str) -> None:
    """Return if networks can be compiled for a device.

    Args:
        device: ``cpu`` or ``cuda:N``.

    Raises:
        InvalidInput: If a compiler is missing or does not work, or Triton is not installed.
    """
    if device == "cpu":
        if problem := _cpp_problem():
            raise InvalidInput(
                f"--compile needs a working C++ compiler on a CPU, with OpenMP and Python's headers: {problem}. "
                "Install them, or name another compiler in CXX, or leave --compile out"
            )
        return
    if importlib.util.find_spec("triton") is None:
        raise InvalidInput("--compile needs Triton on a GPU: pip install triton, or leave --compile out")
    named = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    if not any(shutil.which(name) for name in named):
        raise InvalidInput(
            f"--compile needs a C compiler on a GPU too, for Triton: no {' or '.join(named)} on the path. "
            "Install one, or leave --compile out"
        )


@functools.cache
def _cpp_problem() -> str:
    """Compile a trial; why it failed, empty if it did not."""
    command = shlex.split(os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++"))
    if not command or shutil.which(command[0]) is None:
        return f"no {command[0] if command else 'compiler'} on the path"
    with tempfile.TemporaryDirectory(prefix="avvp-compile-") as folder:
        source = Path(folder, "trial.cpp")
        source.write_text(_TRIAL)
        include = f"-I{sysconfig.get_path('include')}"
        done = subprocess.run(
            [*command, "-fopenmp", include, "-c", str(source), "-o", f"{folder}/trial.o"],
            capture_output=True,
            text=True,
            errors="replace",
        )
    lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    return "" if done.returncode == 0 else (lines or [f"{command[0]} ended with {done.returncode}"])[0].strip()
