"""LAION's other checkpoints: networks without fusion layers, and HTSAT-base, against laion-clap's own classes."""

import ast
import importlib
import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors import registry
from extractors.audio.clap import TEXT_KEYS, Clap, import_clap_module
from extractors.audio.clap_checkpoints import CHECKPOINTS
from extractors.base import Waveform
from extractors.contract import check_contract
from extractors.weights.loading import resolve
from storage.errors import UnknownBackbone, WeightsError

LAION = Path(importlib.util.find_spec("laion_clap").submodule_search_locations[0])
TEXT = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1, "model_type": "transformer"}


@pytest.fixture(scope="module")
def published_functions():
    """Audio functions out of laion_clap/training/data.py: to import that file would reach for three tokenizers."""
    wanted = {"get_audio_features", "int16_to_float32", "float32_to_int16"}
    tree = ast.parse((LAION / "training/data.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    space = {"np": np, "torch": torch, "F": torch.nn.functional}
    exec(compile(tree, "laion_clap/training/data.py", "exec"), space)
    return space


@pytest.fixture(scope="module", params=["630k-audioset-best", "music_audioset_epoch_15_esc_90.14"])
def published(request, tmp_path_factory):
    """The name of a checkpoint, laion-clap's network with seeded weights, and a file as LAION writes them."""
    config = json.loads((LAION / "clap_module/model_configs" / CHECKPOINTS[request.param].configuration).read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(f"{import_clap_module().__name__}.model")
        torch.manual_seed(7)
        model = module.CLAP(config["embed_dim"], config["audio_cfg"], TEXT, enable_fusion=False)
    with torch.no_grad():
        model.audio_branch.bn0.running_mean.uniform_(-50, -30)
        model.audio_branch.bn0.running_var.uniform_(200, 500)
        for name, parameter in model.audio_branch.layers.named_parameters():
            if name.endswith("weight") and parameter.ndim == 2:
                parameter.mul_(3)  # the usual initial values are so small that all clips look alike
    path = tmp_path_factory.mktemp("clap") / f"{request.param}.pt"
    ours = ("audio_branch.", "audio_projection.", *TEXT_KEYS)
    state = {f"module.{name}": value for name, value in model.state_dict().items() if name.startswith(ours)}
    torch.save({"epoch": 3, "name": "test", "state_dict": state}, path)
    return request.param, model.eval(), path, config["audio_cfg"]


def sound(seconds):
    time = np.arange(48_000 * seconds) / 48_000
    noise = np.random.default_rng(0).uniform(-1, 1, time.shape)
    tone = np.sin(2 * np.pi * (200 + 300 * time) * time) * (time + 1) / (seconds + 1)
    return (0.7 * tone + 0.2 * noise).astype(np.float32)


def test_seconds_equal_laion_clap(published, published_functions):
    name, model, path, config = published
    extractor = registry.load(f"clap:{name}", weights=str(path), engine="torch", clip_seconds=2)
    samples = sound(2)
    (row,) = extractor.extract([Waveform(samples, 48_000, len(samples))], batch_units=3)
    inputs = []
    for second in samples.reshape(2, 48_000):
        quantized = published_functions["int16_to_float32"](published_functions["float32_to_int16"](second))
        given = torch.from_numpy(quantized).float()
        inputs.append(published_functions["get_audio_features"]({}, given, 480_000, "rand_trunc", "repeatpad", config))
    with torch.inference_mode():
        expected = model.get_audio_embedding(inputs).numpy()
    assert np.abs(row[extractor.array_name].values - expected).max() < 1e-5
    assert np.abs(expected[0] - expected[1]).max() > 1e-3, "the seconds are too alike to tell anything"
    assert row[f"{extractor.array_name}_map"].values.shape == (64, CHECKPOINTS[name].width)


def test_spectrograms_equal_those_that_the_network_makes(published):
    name, model, _, _ = published
    samples = sound(10)
    units = Clap(name=f"clap:{name}", variant=name).units(Waveform(samples, 48_000, len(samples)))
    quantized = (samples.clip(-1, 1) * 32767.0).astype(np.int16) / 32767.0
    with torch.inference_mode():
        wave = torch.from_numpy(quantized.astype(np.float32))[None]
        expected = model.audio_branch.logmel_extractor(model.audio_branch.spectrogram_extractor(wave))
    difference = np.abs(units.data[-1] - expected[0, 0].numpy())
    assert difference.mean() < 1e-4, "decibels"
    assert difference.max() < 1e-2, "the network's Fourier transform is a convolution, whose rounding shows in silence"


def test_a_network_without_fusion_keeps_the_contract(engine):
    check_contract(registry.load("clap:630k-audioset-best", weights="random:0", engine=engine, clip_seconds=2))


def test_names_files_and_what_is_recorded():
    made = {name: registry.create(f"clap:{name}") for name in CHECKPOINTS}
    assert made["630k-audioset-best"].specs[0].name == "clap_630k-audioset-best"
    assert [spec.dim for spec in made["music_audioset_epoch_15_esc_90.14"].specs] == [512, 1024]
    assert all(one.weights_source.url.endswith(f"/laion_clap/resolve/main/{name}.pt") for name, one in made.items())
    plain = registry.create("clap")
    assert plain.weights_source == made["630k-fusion-best"].weights_source
    assert plain.preprocessing == made["630k-fusion-best"].preprocessing
    assert plain.preprocessing["mel"] == "n_fft 1024, hop 480, 64 HTK bands 50-14000 Hz, power, dB"
    assert "Slaney" in made["630k-best"].preprocessing["mel"]


def test_other_names_are_refused():
    with pytest.raises(UnknownBackbone, match=r"no variant '630k'\. Choose from: clap, clap:630k-fusion-best, "):
        registry.create("clap:630k")


def test_a_file_of_the_other_kind_is_refused(published):
    _, _, path, _ = published
    extractor = registry.create("clap")
    with pytest.raises(WeightsError, match=r"does not fit"):
        extractor.load(resolve(str(path), extractor.weights_source))
