"""Which engine is taken, and which wishes are refused."""

import importlib.util

import pytest

from extractors import registry
from extractors.engines import selection
from extractors.engines.selection import pick_engine
from storage.errors import InvalidInput


@pytest.fixture
def installed(monkeypatch):
    """Say whether OpenVINO is installed."""

    def say(answer):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if answer else None)

    say(True)
    return say


@pytest.fixture
def compiler(monkeypatch):
    """Asks for nothing: whether it works here has its own tests."""
    asked = []
    monkeypatch.setattr(selection, "check_compile", asked.append)
    return asked


@pytest.mark.parametrize(
    ("device", "precision", "compiled", "there", "expected"),
    [
        ("cpu", "float32", False, True, "openvino"),
        ("cpu", "float32", False, False, "torch"),
        ("cpu", "bfloat16", False, True, "torch"),
        ("cpu", "float32", True, True, "torch"),
        ("cuda:1", "float32", False, True, "torch"),
    ],
)
def test_auto(installed, compiler, device, precision, compiled, there, expected):
    installed(there)
    assert pick_engine("auto", device=device, precision=precision, compiled=compiled) == expected
    assert compiler == ([device] if compiled else [])


def test_what_is_asked_for_is_taken(installed, compiler):
    assert pick_engine("torch", device="cpu") == "torch"
    assert pick_engine("torch", device="cuda:0", precision="float16", compiled=True) == "torch"
    assert pick_engine("openvino", device="cpu") == "openvino"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "onnx", "device": "cpu"}, "engine 'onnx': expected one of auto, torch, openvino"),
        (
            {"engine": "openvino", "device": "cuda:0"},
            "runs on a CPU, not on cuda:0: use --device cpu or --engine torch",
        ),
        ({"engine": "openvino", "device": "cpu", "precision": "bfloat16"}, "computes in float32, not bfloat16"),
        ({"engine": "openvino", "device": "cpu", "compiled": True}, "use --engine torch with --compile"),
    ],
)
def test_what_cannot_be_is_refused(installed, options, message):
    with pytest.raises(InvalidInput, match=message):
        pick_engine(**options)


def test_a_missing_engine_names_the_extra(installed):
    installed(False)
    with pytest.raises(InvalidInput, match=r"not installed: pip install .avvp-pipeline\[cpu\]., or use --engine torch"):
        pick_engine("openvino", device="cpu")


def test_a_backbone_is_loaded_on_the_engine_asked_for(engine):
    loaded = registry.load("vggish", weights="random:0", engine=engine, clip_seconds=1)
    assert type(loaded._engine).__name__ == {"torch": "TorchEngine", "openvino": "OpenVinoEngine"}[engine]
