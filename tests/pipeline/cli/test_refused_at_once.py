"""A mistyped name of a backbone, a device or a recipe is refused before anything heavy is imported."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from extractors.engines import runtime
from pipeline.extraction.first_look import refuse_at_once
from pipeline.extraction.options import ExtractOptions
from storage.errors import InvalidInput

SCRIPT = """
import sys
from pipeline.cli.main import main
try:
    main(sys.argv[1:])
finally:
    heavy = sorted({"torch", "zarr", "av", "cv2", "accelerate"} & set(sys.modules))
    print(f"heavy: {heavy}", file=sys.stderr)
"""
EXTRACT = ("extract", "--clips", ".", "--store", "s.zarr")
TRAIN = ("train", "--store", "s.zarr", "--annotations", ".", "--out", "run")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*EXTRACT, "--backbone", "resnet15"), "Did you mean 'resnet152'?"),
        ((*EXTRACT, "--backbone", "resnet152@8fps@"), "unknown backbone"),
        ((*EXTRACT, "--backbone", "resnet152", "--device", "tpu"), "device 'tpu': expected auto, cpu or cuda:N"),
        ((*EXTRACT, "--backbone", "resnet152", "--device", "cuda:"), "expected auto, cpu or cuda:N"),
        ((*TRAIN, "--recipe", "hann"), "Did you mean han?"),
        ((*TRAIN, "--recipe", "han", "--device", "tpu"), "--device tpu: expected auto, cpu, cuda"),
        ((*TRAIN, "--recipe", "han", "--set", "train.epoch=3"), "Did you mean epochs?"),
        (("backbones", "check", "resnet15"), "Did you mean 'resnet152'?"),
    ],
)
def test_it_takes_less_than_a_second(tmp_path, arguments, words):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "heavy: []" in done.stderr
    assert seconds < 2, "of a processor; 0.6 s on two slow cores"


def test_a_gpu_is_refused_at_once_where_no_driver_is(monkeypatch):
    monkeypatch.setattr(runtime, "_has_gpu_driver", lambda: False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(InvalidInput, match="this machine has 0 CUDA devices"):
        runtime.check_device_name("cuda:1")
    monkeypatch.setattr(runtime, "_has_gpu_driver", lambda: True)
    runtime.check_device_name("cuda:1")


def test_names_of_libraries_and_files_are_left_to_them(tmp_path):
    refuse_at_once(ExtractOptions(backbones=("timm:no_such", "clip:no/such", f"{tmp_path}/mine.py:Net"), device="cpu"))
