"""The GPU's benchmark on a CPU, so that nobody rents a GPU to find a typing error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
HERE = Path(__file__).resolve().parent
ABSENT = (
    "av", "decord", "zarr", "pebble", "open_clip", "laion_clap", "fsspec", "torchaudio", "xxhash", "numba", "click",
    "pydantic", "rich", "transformers", "timm", "safetensors", "google_crc32c", "numcodecs", "annotated_types",
    "openvino", "imageio_ffmpeg", "h5py",
)  # fmt: skip
RUN = """
import runpy, sys
from without_packages import hide
hide(sys.argv.pop(1).split(","))
sys.argv[0] = sys.argv.pop(1)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def benchmark(*arguments, absent=()):
    """Its findings, and its last line."""
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent / "data")])
    command = [sys.executable, "-W", "ignore", "-c", RUN, ",".join(absent), str(HERE / "gpu"), "--device", "cpu"]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=240
    )
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    return [json.loads(line) for line in lines], last


@pytest.fixture(scope="module")
def bare():
    """Stages 1 to 4, and what the others say where there is nothing but torch and torchvision."""
    return benchmark("--minutes", "3", "--backbones", "vggish", "clip_vit_l14", absent=ABSENT)


def found(lines, **facts):
    return [line for line in lines if facts.items() <= line.items()]


def test_networks_are_measured_with_torch_and_torchvision_alone(bare):
    lines, last = bare
    (product,) = found(lines, stage=1, product="float32")
    assert product["tflops"] > 0
    (agreement,) = found(lines, stage=2, backbone="vggish", precision="float32")
    assert agreement["difference"] <= 1e-5
    assert agreement["finite"]
    assert agreement["same_bits_twice"]
    assert agreement["same_bits_alone"]
    assert [line["batch_units"] for line in found(lines, stage=3, backbone="vggish")] == [1, 2]
    assert found(lines, stage=4, reuse="buffers", wrong_units=0)
    assert found(lines, stage=4, overlap="vggish")
    assert not [line for line in lines if "failed" in line]
    assert "cores needed for this GPU: " in last


def test_what_is_missing_is_named(bare):
    lines, _ = bare
    assert any("open_clip" in line["skipped"] for line in found(lines, backbone="clip_vit_l14"))
    for stage in (5, 7):
        (line,) = found(lines, stage=stage)
        assert "needs" in line["skipped"]
    (line,) = found(lines, stage=6, fault="device-side assert")
    assert line["exit_code"] == 1


def test_without_a_gpu_it_says_so():
    command = [sys.executable, str(HERE / "gpu"), "--minutes", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 1
    assert "no CUDA device here" in done.stderr
