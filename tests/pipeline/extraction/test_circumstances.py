"""What features were computed on stands in every record, and in no identity."""

import json

import pytest
import torch

from pipeline.extraction.circumstances import circumstances_of, driver_version
from pipeline.extraction.extract import extract
from pipeline.extraction.options import ExtractOptions
from storage.clips import Clip, ClipTable
from storage.store import FeatureStore

OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder)\nGCC version:\n"
)
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"


@pytest.mark.parametrize(("text", "version"), [(OPEN, "570.86.15"), (CLOSED, "550.54.15"), ("", None)])
def test_the_drivers_version(tmp_path, text, version):
    (tmp_path / "version").write_text(text)
    assert driver_version(tmp_path / "version") == version
    assert driver_version(tmp_path / "none") is None


def test_on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"A GPU at {device}")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    found = circumstances_of(device="cuda:1", engine="torch", precision="tf32", compiled=True)
    found.pop("cuda", None)  # None in a torch for CPUs
    found.pop("driver", None)
    assert found.pop("torch").startswith(torch.__version__.partition("+")[0])
    assert found == {
        "device": "cuda:1", "gpu": "A GPU at cuda:1", "cudnn": 91002, "tf32": True, "engine": "torch",
        "precision": "tf32", "compiled": True,
    }  # fmt: skip
    json.dumps(found)


def test_on_a_cpu():
    found = circumstances_of(device="cpu", engine="torch", precision="float32", compiled=False)
    assert found["cpu"] == torch.backends.cpu.get_cpu_capability()
    assert not {"gpu", "driver", "cuda", "cudnn", "tf32"} & found.keys()


def test_every_record_of_a_run_has_them(make_clip, tmp_path):
    clip = make_clip(tmp_path / "a.mp4", seconds=2)
    table = ClipTable([Clip("a", str(clip))])
    extract(table, str(tmp_path / "s.zarr"), ExtractOptions(("toy_visual",), ("random:0",), clip_seconds=2, workers=1))
    store = FeatureStore.open(str(tmp_path / "s.zarr"))
    (record,) = store.ledger("toy_visual").newest().values()
    assert record.circumstances["device"] == "cpu"
    assert record.circumstances["precision"] == "float32"
    assert record.circumstances["batch_units"] == 5
    assert record.fingerprint == store.fingerprint("toy_visual")
