from types import SimpleNamespace

from pipeline.inspection.circumstances import MadeOn, made_on

GPU = {
    "device": "cuda:0", "gpu": "NVIDIA H100", "driver": "570.86.15", "cuda": "13.0", "cudnn": 91002, "tf32": False,
    "engine": "torch", "torch": "2.11.0", "precision": "bfloat16", "compiled": True, "batch_units": 128,
}  # fmt: skip
CPU = {"device": "cpu", "cpu": "AVX2", "engine": "openvino", "openvino": "2026.1", "precision": "float32"}


def test_shards_are_counted_by_what_they_were_made_on():
    found = made_on(SimpleNamespace(circumstances=[(CPU, 1), ({}, 1), (GPU, 2)]))
    assert [(group.shards, dict(group.circumstances)) for group in found] == [(2, GPU), (1, CPU), (1, {})]
    assert made_on(SimpleNamespace(circumstances=[])) == []


def test_in_words():
    assert str(MadeOn(1, GPU)) == (
        "NVIDIA H100 (cuda:0), driver 570.86.15, cuda 13.0, cudnn 91002, torch 2.11.0, bfloat16, compiled, "
        "batches of 128"
    )
    assert str(MadeOn(1, CPU)) == "AVX2 (cpu), openvino 2026.1, float32"
    assert str(MadeOn(1, {})) == "not recorded"
    assert str(MadeOn(1, {"device": "cpu", "new": 3})) == "cpu, new 3"
