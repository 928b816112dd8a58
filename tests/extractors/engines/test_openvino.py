"""The OpenVINO engine: one batch shape, its cache of converted networks, model files, and no telemetry."""

import importlib.util
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from extractors.engines import openvino_cache
from extractors.engines.network import Network
from extractors.engines.openvino_engine import OpenVinoEngine, convert, open_model
from extractors.engines.selection import start_engine
from storage.errors import InvalidInput

pytestmark = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")


def net():
    """A convolution, a norm and two outputs."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    layers[1].running_mean.uniform_(-1, 1)
    return layers.eval()


def compute(network, batch):
    features = network(batch.movedim(-1, 1).float() / 255)
    return features, features.sum(dim=1, keepdim=True)


def network(**changes):
    example = torch.randint(256, (1, 8, 8, 3), dtype=torch.uint8)
    given = {"name": "small", "build": net, "compute": compute, "example": example, "batch_units": 4} | changes
    return Network(**given)


def start(**changes):
    return start_engine("openvino", network(**changes), device="cpu", precision="float32")


def pictures(count):
    return torch.randint(256, (count, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AVVP_CACHE", str(tmp_path))
    return tmp_path / "openvino"


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 9])
def test_batches_of_any_size_give_the_same_bits(count):
    engine, whole = start(), pictures(9)
    expected = engine(whole)
    found = engine(whole[:count])
    assert [output.shape for output in found] == [(count, 8), (count, 1)]
    for output, all_of_it in zip(found, expected, strict=True):
        assert torch.equal(output, all_of_it[:count])
    with torch.inference_mode():
        for output, by_torch in zip(expected, compute(net(), whole), strict=True):
            torch.testing.assert_close(output, by_torch, rtol=1e-5, atol=1e-6)


def test_units_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"small: expected units \[8, 8, 3\], got \[8, 9, 3\]"):
        start()(torch.zeros(2, 8, 9, 3, dtype=torch.uint8))


def test_a_network_is_converted_once(cache):
    expected = start(identity="sha256:1")(pictures(3))

    def never():
        raise AssertionError("built again")

    found = start(identity="sha256:1", build=never)(pictures(3))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    (entry,) = cache.iterdir()
    assert entry.name.startswith("small-")
    assert {file.name for file in entry.iterdir()} == {"model.xml", "model.bin", "sizes.json"}
    with pytest.raises(AssertionError, match="built again"):
        start(identity="sha256:2", build=never)
    with pytest.raises(AssertionError, match="built again"):
        start(identity="sha256:1", batch_units=5, build=never)


def test_random_weights_are_not_kept(cache):
    start()
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["shorter", "gone", "nonsense", "other sizes"])
def test_a_damaged_entry_is_made_anew(cache, damage):
    expected = start(identity="sha256:1")(pictures(3))
    (entry,) = cache.iterdir()
    if damage == "shorter":
        (entry / "model.bin").write_bytes((entry / "model.bin").read_bytes()[:-8])
    elif damage == "gone":
        (entry / "model.bin").unlink()
    elif damage == "nonsense":
        size = (entry / "model.xml").stat().st_size
        (entry / "model.xml").write_bytes(b"x" * size)
    else:
        (entry / "sizes.json").write_text("{}")
    found = start(identity="sha256:1")(pictures(3))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert openvino_cache.read(entry) is not None
    assert list(cache.iterdir()) == [entry]


def test_a_cache_that_cannot_be_written_costs_the_conversion_only(cache):
    cache.write_text("a file, where a folder should be")
    assert start(identity="sha256:1")(pictures(3))[0].shape == (3, 8)


def test_two_that_convert_at_once_both_get_a_model(cache):
    entry = openvino_cache.entry("small", ["sha256:1"])
    models = [convert(network(), [4, 8, 8, 3]) for _ in range(4)]
    barrier = threading.Barrier(len(models))

    def write(model):
        barrier.wait()
        return OpenVinoEngine(openvino_cache.write(entry, model), name="small")(pictures(3))[0]

    with ThreadPoolExecutor(len(models)) as pool:
        first, *others = pool.map(write, models)
    assert all(torch.equal(first, other) for other in others)
    assert list(cache.iterdir()) == [entry]


def test_importing_it_reports_nothing(tmp_path):
    code = (
        "import sys\n"
        "from extractors.engines.openvino_import import import_openvino\n"
        "openvino = import_openvino()\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "print(telemetry_utils.tm.__name__, sys.modules['openvino_telemetry'])"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "None"]
    assert not (tmp_path / "intel").exists()


def field(number, value):
    """A field of a protobuf message: a whole number, text, or the fields of a message."""
    if isinstance(value, int):
        return bytes([number << 3, value]) if number < 16 else bytes([(number << 3 & 0x7F) | 0x80, number >> 4, value])
    content = value.encode() if isinstance(value, str) else value
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def onnx_model(rows):
    """ONNX: minus a uint8 ``[rows, 3]`` as float32; ``rows`` may be a name, for any number."""
    uint8, float32 = 2, 1
    dims = field(1, field(2 if isinstance(rows, str) else 1, rows)) + field(1, field(1, 3))

    def value(name, kind):
        return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))

    to = field(1, "to") + field(3, float32) + field(20, 2)
    cast = field(1, "x") + field(2, "f") + field(4, "Cast") + field(5, to)
    negate = field(1, "f") + field(2, "y") + field(4, "Neg")
    graph = field(1, cast) + field(1, negate) + field(2, "g") + field(11, value("x", uint8))
    graph += field(12, value("y", float32))
    length = bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7])
    return field(1, 8) + bytes([7 << 3 | 2]) + length + graph + field(8, field(2, 13))


def test_onnx_files_are_read(tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(onnx_model(2))
    numbers = torch.arange(9, dtype=torch.uint8).reshape(3, 3)
    (found,) = open_model(path)(numbers)
    assert torch.equal(found, -numbers.float())
    path.write_bytes(onnx_model("n"))
    with pytest.raises(InvalidInput, match=r"small\.onnx: its input is \[\?,3\]; give batch_shape"):
        open_model(path)
    (found,) = open_model(path, batch_shape=[2, 3])(numbers)
    assert torch.equal(found, -numbers.float())
    path.write_bytes(b"nonsense")
    with pytest.raises(InvalidInput, match=r"small\.onnx: not a model that OpenVINO can read"):
        open_model(path)
