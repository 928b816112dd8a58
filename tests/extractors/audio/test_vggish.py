import re
import zipfile

import numpy as np
import pytest
import torch
from torch.nn import functional

from extractors.audio.vggish import Vggish, build_network, flatten_maps, quantize, read_pca, whiten
from extractors.audio.vggish_log_mel import second_examples
from extractors.audio.waveform import waveform_on_grid
from extractors.base import Frames, Waveform
from extractors.weights.loading import ResolvedWeights, apply_weights, resolve
from storage.errors import InvalidInput, UnknownBackbone, WeightsError

CONVOLUTIONS = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256), 13: (512, 512)}
LINEARS = {0: (4096, 12288), 2: (4096, 4096), 4: (128, 4096)}


def waveform(seconds, *, valid_seconds=None, seed=0):
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, 16_000 * seconds).astype(np.float32)
    count = int(16_000 * (seconds if valid_seconds is None else valid_seconds))
    samples[count:] = 0
    return Waveform(samples, 16_000, count)


@pytest.fixture(scope="module")
def official_state():
    """A state dict in the port's names and shapes, seeded."""
    generator = torch.Generator().manual_seed(5)
    state = {}
    for part, shapes, kernel in (("features", CONVOLUTIONS, (3, 3)), ("embeddings", LINEARS, ())):
        for index, shape in shapes.items():
            weight = torch.randn(*shape, *kernel, generator=generator)
            state[f"{part}.{index}.weight"] = weight * (2 / weight[0].numel()) ** 0.5
            state[f"{part}.{index}.bias"] = torch.randn(shape[0], generator=generator) * 0.05
    return state


@pytest.fixture(scope="module")
def official_file(official_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("vggish") / "vggish-10086976.pth"
    torch.save(official_state, path)
    return path


@pytest.fixture(scope="module")
def pca_arrays():
    random = np.random.default_rng(3)
    return {"pca_eigen_vectors": random.normal(size=(128, 128)), "pca_means": random.normal(size=128)}


@pytest.fixture(scope="module")
def pca_file(pca_arrays, tmp_path_factory):
    """As the port publishes it: numpy arrays in a torch file."""
    path = tmp_path_factory.mktemp("pca") / "vggish_pca_params-970ea276.pth"
    torch.save(pca_arrays, path)
    return path


def by_hand(state, examples):
    """The port's forward from its state dict, in TensorFlow's order of places and channels."""
    x = examples
    for index in CONVOLUTIONS:
        x = functional.conv2d(x, state[f"features.{index}.weight"], state[f"features.{index}.bias"], padding=1).relu()
        if index in (0, 3, 8, 13):
            x = functional.max_pool2d(x, 2)
    assert x.shape[1:] == (512, 6, 4)
    x = torch.stack([torch.cat([u[:, row, col] for row in range(6) for col in range(4)]) for u in x])
    for index in LINEARS:
        x = (x @ state[f"embeddings.{index}.weight"].T + state[f"embeddings.{index}.bias"]).relu()
    return x


def test_official_checkpoint_gives_the_ports_numbers(official_state, official_file):
    extractor = Vggish(name="vggish", clip_seconds=2)
    extractor.load(resolve(str(official_file), extractor.weights_source))
    clip = waveform(2)
    (row,) = extractor.extract([clip])
    expected = by_hand(official_state, second_examples(torch.from_numpy(clip.samples))[:, None]).numpy()
    assert expected.max() > 0.1
    np.testing.assert_allclose(row["vggish"].values, expected, atol=3e-6 * expected.max())
    assert row["vggish"].values.min() == 0.0, "the last ReLU is part of it"


def test_flatten_is_row_then_column_then_channel():
    maps = torch.tensor([[[[1, 2], [3, 4]], [[10, 20], [30, 40]]]])
    assert flatten_maps(maps).tolist() == [[1, 10, 2, 20, 3, 30, 4, 40]]


def test_units_are_one_second_examples():
    units = Vggish(name="vggish").units(waveform(10, valid_seconds=2.6))
    assert units.data.shape == (10, 1, 96, 64)
    assert units.data.dtype == np.float32
    assert units.valid.tolist() == [True] * 3 + [False] * 7
    np.testing.assert_allclose(units.data[5], np.log(0.01), rtol=1e-6)


def test_specs():
    (spec,) = Vggish(name="vggish").specs
    assert (spec.name, spec.steps, spec.dim, spec.step_seconds, spec.modality) == ("vggish", 10, 128, 1.0, "audio")
    assert Vggish(name="vggish:pca", variant="pca").specs[0].name == "vggish_pca"


def test_missing_and_unexpected_keys_are_named(tmp_path):
    path = tmp_path / "bad.pth"
    torch.save({"features.0.bias": torch.zeros(64), "classifier.bias": torch.zeros(3)}, path)
    extractor = Vggish(name="vggish")
    with pytest.raises(WeightsError, match=r"missing: features\.0\.weight.*1 unexpected: classifier\.bias"):
        extractor.load(resolve(str(path), extractor.weights_source))


def test_whiten_by_hand():
    pca = {"pca_eigen_vectors": torch.tensor([[1.0, 2.0], [0.0, -1.0]]), "pca_means": torch.tensor([[1.0], [3.0]])}
    assert whiten(torch.tensor([[2.0, 5.0]]), pca).tolist() == [[1 * 1 + 2 * 2, -2]]


def test_quantize_by_hand():
    whitened = torch.tensor([-3.0, -2.0, -1.99, 0.0, 1.0, 2.0, 9.0])
    assert quantize(whitened).tolist() == [0, 0, 1, 128, 191, 255, 255]  # 0.64 and 127.5 are rounded, not cut


def test_random_weights_fill_the_pca_too():
    extractor = Vggish(name="vggish:pca-quantized", variant="pca-quantized", clip_seconds=1)
    weights = resolve("random:4", extractor.weights_source)
    extractor.load(weights)
    filled = build_network(with_pca=True)
    apply_weights(filled, weights)
    clip = waveform(1)
    (row,) = extractor.extract([clip])
    raw = by_hand(filled.state_dict(), second_examples(torch.from_numpy(clip.samples))[:, None])
    expected = quantize(whiten(raw, filled["pproc"])).detach().numpy()
    ours = row["vggish_pca-quantized"].values
    assert np.abs(ours - expected).max() <= 1  # a value half way between two may fall either way
    assert len(np.unique(ours)) > 5


def test_pretrained_pca_comes_from_its_own_file(official_file, pca_file, pca_arrays, official_state, monkeypatch):
    def found(path):
        return ResolvedWeights("pretrained", path, 0, "sha256:0", "test")

    monkeypatch.setattr("extractors.audio.vggish.resolve", lambda *_: found(pca_file))
    extractor = Vggish(name="vggish:pca", variant="pca", clip_seconds=1)
    extractor.load(found(official_file))
    clip = waveform(1)
    raw = by_hand(official_state, second_examples(torch.from_numpy(clip.samples))[:, None]).numpy()
    expected = (raw - pca_arrays["pca_means"]) @ pca_arrays["pca_eigen_vectors"].T
    (row,) = extractor.extract([clip])
    np.testing.assert_allclose(row["vggish_pca"].values, expected, atol=3e-6 * np.abs(expected).max())


@pytest.mark.parametrize("package", [b"numpy.core", b"numpy._core"])
def test_pca_files_of_numpy_1_and_2_are_read(pca_file, pca_arrays, tmp_path, package):
    """The name of the function that makes an array differs."""
    other = tmp_path / "other.pth"
    with zipfile.ZipFile(pca_file) as before, zipfile.ZipFile(other, "w") as after:
        for entry in before.infolist():
            content = before.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert b".multiarray\n_reconstruct" in content
                content = re.sub(rb"numpy\._?core\.multiarray", package + b".multiarray", content)
            after.writestr(entry, content)
    np.testing.assert_allclose(read_pca(other)["pca_means"].detach().flatten(), pca_arrays["pca_means"], rtol=1e-6)


def test_pca_file_is_read_and_others_are_refused(pca_file, pca_arrays, tmp_path):
    pca = read_pca(pca_file)
    np.testing.assert_allclose(pca["pca_means"][:, 0].detach(), pca_arrays["pca_means"], rtol=1e-6)
    wrong = tmp_path / "wrong.pth"
    torch.save({"pca_means": torch.zeros(128)}, wrong)
    with pytest.raises(WeightsError, match="not VGGish's PCA"):
        read_pca(wrong)
    torch.save({"pca_means": torch.zeros(12), "pca_eigen_vectors": torch.zeros(12, 12)}, wrong)
    with pytest.raises(WeightsError, match=r"expected \[128, 128\]"):
        read_pca(wrong)


def test_plain_vggish_ignores_the_pca_of_a_whole_model(tmp_path):
    path = tmp_path / "whole.pth"
    torch.save({"pproc.pca_means": torch.zeros(128, 1), "features.0.bias": torch.zeros(64)}, path)
    extractor = Vggish(name="vggish")
    with pytest.raises(WeightsError) as caught:
        extractor.load(resolve(str(path), extractor.weights_source))
    assert "unexpected" not in str(caught.value)


def test_unknown_variant_is_refused():
    with pytest.raises(UnknownBackbone, match=r"no variant 'pcaa'.*vggish:pca-quantized"):
        Vggish(name="vggish:pcaa", variant="pcaa")


def test_waveform_must_be_the_view_asked_for():
    frames = Frames(np.zeros((1, 2, 2, 3), np.uint8), np.ones(1, bool), 1)
    for clip, message in (
        (frames, "expected a waveform, got Frames"),
        (Waveform(np.zeros(16_000, np.float32), 48_000, 16_000), "expected 16000 Hz, got 48000"),
        (Waveform(np.zeros(15_999, np.float32), 16_000, 15_999), r"expected samples \[16000\]"),
    ):
        with pytest.raises(InvalidInput, match=message):
            waveform_on_grid(clip, name="vggish", sample_rate_hz=16_000, seconds=1)


def test_samples_past_the_end_are_silenced_without_touching_the_clip():
    clip = Waveform(np.ones(16_000, np.float32), 16_000, 4)
    grid = waveform_on_grid(clip, name="vggish", sample_rate_hz=16_000, seconds=1)
    assert grid.samples.sum() == 4
    assert clip.samples.sum() == 16_000
