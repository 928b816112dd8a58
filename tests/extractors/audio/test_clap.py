import ast
import importlib
import importlib.util
import json
import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio

from extractors.audio.clap import TEXT_KEYS, Clap, group_tokens, import_clap_module
from extractors.audio.clap_log_mel import mel_decibels, nearest_samples, quantize, repeated_second_mel
from extractors.base import Waveform
from extractors.weights.loading import resolve
from storage.errors import WeightsError

LAION = Path(importlib.util.find_spec("laion_clap").submodule_search_locations[0])
CONFIG = json.loads((LAION / "clap_module/model_configs/HTSAT-tiny.json").read_text())
LOG_SCALE = 2.5


def waveform(seconds, *, valid_seconds=None, seed=0):
    """A rising tone over noise, louder with time, so that no two seconds are alike."""
    count = int(48_000 * (seconds if valid_seconds is None else valid_seconds))
    time = np.arange(48_000 * seconds) / 48_000
    tone = np.sin(2 * np.pi * (200 + 300 * time) * time) * time / seconds
    noise = np.random.default_rng(seed).uniform(-1, 1, time.shape)
    samples = (0.7 * tone + 0.2 * noise).astype(np.float32)
    samples[count:] = 0
    return Waveform(samples, 48_000, count)


@pytest.fixture(scope="module")
def published_functions():
    """Audio functions out of laion_clap/training/data.py: to import that file would reach for three tokenizers."""
    wanted = {"get_mel", "get_audio_features", "int16_to_float32", "float32_to_int16"}
    tree = ast.parse((LAION / "training/data.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    space = {"np": np, "torch": torch, "torchaudio": torchaudio, "F": torch.nn.functional}
    exec(compile(tree, "laion_clap/training/data.py", "exec"), space)
    return space


@pytest.fixture(scope="module")
def published_model():
    """laion_clap's CLAP with seeded weights, as the checkpoint's but for a text tower that needs no hub."""
    package = import_clap_module().__name__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(f"{package}.model")
        torch.manual_seed(11)
        text = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1, "model_type": "transformer"}
        model = module.CLAP(768, CONFIG["audio_cfg"], text, enable_fusion=True, fusion_type="aff_2d")
    with torch.no_grad():
        model.audio_branch.bn0.running_mean.uniform_(-50, -30)
        model.audio_branch.bn0.running_var.uniform_(200, 500)
        model.logit_scale_a.fill_(LOG_SCALE)
        for name, parameter in model.audio_branch.layers.named_parameters():
            if name.endswith("weight") and parameter.ndim == 2:
                parameter.mul_(3)  # the usual initial values are so small that all clips look alike
    return model.eval()


@pytest.fixture(scope="module")
def official_state(published_model):
    """Under the official file's names."""
    ours = ("audio_branch.", "audio_projection.", *TEXT_KEYS)
    return {f"module.{name}": value for name, value in published_model.state_dict().items() if name.startswith(ours)}


@pytest.fixture(scope="module")
def loaded(official_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("clap") / "630k-fusion-best.pt"
    torch.save({"epoch": np.float64(3), "name": "test", "state_dict": official_state, "optimizer": {"state": {}}}, path)
    extractor = Clap(name="clap")
    paths, modules = list(sys.path), set(sys.modules)
    extractor.load(resolve(str(path), extractor.weights_source))
    assert sys.path == paths
    assert not {"laion_clap", "clap_module", "training", "evaluate"} & (set(sys.modules) - modules)
    return extractor


@pytest.fixture(scope="module")
def clip():
    return waveform(10)


@pytest.fixture(scope="module")
def features(loaded, clip):
    (row,) = loaded.extract([clip], batch_units=4)
    return row


def published_inputs(functions, samples):
    quantized = functions["int16_to_float32"](functions["float32_to_int16"](samples))
    waveform = torch.from_numpy(quantized).float()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Argument 'onesided' has been deprecated", category=UserWarning)
        return functions["get_audio_features"]({}, waveform, 480_000, "fusion", "repeatpad", CONFIG["audio_cfg"])


def test_segments_equal_laion_clap(features, clip, published_model, published_functions):
    steps = [0, 4, 9]
    starts = np.round(np.linspace(0, 480_000, 11)).astype(int)[steps]
    slices = [published_inputs(published_functions, clip.samples[at : at + 48_000]) for at in starts]
    with torch.inference_mode():
        expected = published_model.get_audio_embedding(slices).numpy()
    assert features["clap"].valid.all()
    assert np.abs(features["clap"].values[steps] - expected).max() < 1e-5
    assert np.abs(expected[0] - expected[2]).max() > 1e-3, "the seconds are too alike to tell anything"


def test_map_equals_laion_clap(features, clip, published_model, published_functions):
    tokens = []
    hook = published_model.audio_branch.norm.register_forward_hook(lambda *call: tokens.append(call[2][0]))
    sample = published_inputs(published_functions, clip.samples)
    with torch.inference_mode():
        batch = {name: value[None] for name, value in sample.items()}
        output = published_model.encode_audio(batch, device="cpu")
    hook.remove()
    expected = np.empty((64, 768), np.float32)
    for stretch in range(4):
        for half in range(2):
            for time in range(8):
                place = 16 * stretch + 8 * half + time
                expected[32 * half + 8 * stretch + time] = tokens[0][place]
    ours = features["clap_map"].values
    assert np.abs(ours - expected).max() < 2e-5, "values of up to 4"
    assert np.abs(ours.mean(0) - output["embedding"][0].numpy()).max() < 1e-5
    over_time = output["fine_grained_embedding"][0, ::32].numpy()
    assert np.abs(ours.reshape(2, 32, 768).mean(0) - over_time).max() < 1e-5


def test_spectrograms_equal_laion_clap(clip, published_functions):
    units = Clap(name="clap").units(clip)
    assert units.data.shape == (11, 1001, 64)
    for index, samples in ((0, clip.samples[:48_000]), (10, clip.samples)):
        sample = published_inputs(published_functions, samples)
        assert not sample["longer"].any()
        assert np.abs(units.data[index] - sample["mel_fusion"][0].numpy()).max() < 1e-4


def test_neighbours_in_a_batch_change_nothing(loaded, clip, features):
    data = torch.from_numpy(loaded.units(clip).data)
    with torch.inference_mode():
        embedding, feature_map = loaded.forward(data[[10, 2]])
    assert np.abs(embedding[1].numpy() - features["clap"].values[2]).max() < 1e-5
    assert np.abs(feature_map[0].numpy() - features["clap_map"].values).max() < 1e-5


def test_logit_scale_is_kept(loaded):
    assert loaded.logit_scale == pytest.approx(math.exp(LOG_SCALE))
    assert Clap(name="clap").logit_scale is None


def test_missing_and_unexpected_keys_are_named(tmp_path):
    path = tmp_path / "bad.pt"
    state = {"audio_projection.0.bias": torch.zeros(512), "audio_extra.weight": torch.zeros(1)}
    texts = {f"{name}weight" if name.endswith(".") else name: torch.zeros(1) for name in TEXT_KEYS}
    torch.save({"state_dict": {f"module.{name}": value for name, value in (state | texts).items()}}, path)
    extractor = Clap(name="clap")
    with pytest.raises(WeightsError, match=r"missing: audio_branch\..*1 unexpected: audio_extra\.weight$"):
        extractor.load(resolve(str(path), extractor.weights_source))


def test_specs():
    segments, whole = Clap(name="clap").specs
    assert (segments.name, segments.steps, segments.dim, segments.step_seconds) == ("clap", 10, 512, 1.0)
    assert (whole.name, whole.steps, whole.dim, whole.step_seconds) == ("clap_map", 64, 768, None)


def test_short_clip_masks_segments_and_keeps_the_map():
    extractor = Clap(name="clap", clip_seconds=4)
    units = extractor.units(waveform(4, valid_seconds=1.7))
    assert units.valid.tolist() == [True, True, False, False, True]
    outputs = [np.arange(3 * 512, dtype=np.float32).reshape(3, 512), np.ones((3, 64, 768), np.float32)]
    rows = extractor.assemble(outputs, units.valid)
    assert rows["clap"].valid.tolist() == [True, True, False, False]
    np.testing.assert_array_equal(rows["clap"].values[:2], outputs[0][:2])
    assert np.isnan(rows["clap"].values[2:]).all()
    assert rows["clap_map"].valid.all()


def test_clip_without_a_valid_segment_has_no_map():
    extractor = Clap(name="clap", clip_seconds=2)
    units = extractor.units(waveform(2, valid_seconds=0.4))
    assert not units.valid.any()
    rows = extractor.assemble([np.empty((0, 512), np.float32), np.empty((0, 64, 768), np.float32)], units.valid)
    assert not any(row.valid.any() or np.isfinite(row.values).any() for row in rows.values())


def test_repeated_seconds_equal_the_long_way():
    seconds = waveform(2).samples.reshape(2, 48_000)
    np.testing.assert_allclose(repeated_second_mel(seconds), mel_decibels(np.tile(seconds, 10)), atol=1e-4)


def test_silence_is_at_the_floor():
    np.testing.assert_array_equal(repeated_second_mel(np.zeros((1, 48_000), np.float32)), -100.0)


def test_nearest_samples_by_hand():
    samples = np.array([0, 10, 20, 30], np.float32)
    assert nearest_samples(samples, count=4) is samples
    assert nearest_samples(samples, count=7).tolist() == [0, 0, 10, 20, 20, 20, 30]  # halves to even
    assert nearest_samples(samples, count=2).tolist() == [0, 30]


def test_quantize_cuts_the_fraction_off():
    exact = np.array([-2.0, -1.0, 0.0, 1.0], np.float32)
    assert quantize(exact).tolist() == [-1, -1, 0, 1]
    assert quantize(np.array([1.9, -1.9], np.float32) / 32767).tolist() == [
        np.float32(1 / 32767),
        np.float32(-1 / 32767),
    ]


def test_group_tokens_by_hand():
    places = torch.arange(64.0)[None, :, None]
    assert group_tokens(places)[0, :, 0].tolist()[:10] == [0, 1, 2, 3, 4, 5, 6, 7, 16, 17]
    assert group_tokens(places)[0, 32, 0] == 8


def test_importing_the_files_imports_neither_torch_nor_laion_clap():
    code = (
        "import sys, extractors.audio.clap as c, extractors.audio.vggish as v;"
        "x = [k(name='x') for k in (c.Clap, v.Vggish)];"
        "[(e.specs, e.view, e.preprocessing, e.weights_source) for e in x];"
        "print(sorted({'torch', 'torchaudio', 'laion_clap', '_laion_clap_module'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
