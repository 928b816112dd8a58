import numpy as np
import pytest
import torch

from extractors.audio.vggish_log_mel import examples_of, log_mel, mel_matrix, second_examples
from extractors.windows import Windows


@pytest.fixture(scope="module")
def oracle(shared_dir):
    path = shared_dir / "reference/oracles/vggish/logmel_sine440.npz"
    if not path.is_file():
        pytest.skip(f"no oracle at {path}")
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def sine():
    """The oracle's input: ten seconds of 440 Hz at half scale, as a 16-bit file gives it."""
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(160_000) / 16_000)
    return torch.from_numpy((np.round(wave * 32767) / 32768).astype(np.float32))


def test_seconds_equal_the_published_log_mel(oracle, sine):
    ours = second_examples(sine)
    assert ours.dtype == torch.float32
    assert np.abs(ours.numpy() - oracle["sine440__per_second"]).max() < 1e-5


def test_contiguous_examples_equal_the_published_log_mel(oracle, sine):
    frames = log_mel(sine)[: 10 * 96].numpy().reshape(10, 96, 64)
    assert np.abs(frames - oracle["sine440__whole"]).max() < 1e-5


def test_windows_of_a_hop_of_their_length_equal_the_published_log_mel(oracle, sine):
    found = examples_of(sine.numpy(), Windows(0.96, 0.96), clip_seconds=10)
    assert found.shape == (10, 1, 96, 64)
    assert np.abs(found[:, 0] - oracle["sine440__whole"]).max() < 1e-5


def test_windows_begin_a_hop_apart_and_past_the_end_is_silence():
    sound = np.random.RandomState(0).uniform(-0.5, 0.5, 32_000).astype(np.float32)
    found = examples_of(sound, Windows(0.96, 0.26), clip_seconds=2)
    assert found.shape == (5, 1, 96, 64)
    whole = log_mel(torch.from_numpy(np.concatenate([sound, np.zeros(400, dtype=np.float32)]))).numpy()
    for number, example in enumerate(found[:, 0]):
        np.testing.assert_array_equal(example, whole[26 * number : 26 * number + 96])


def test_mel_matrix_and_window_equal_the_published(oracle):
    np.testing.assert_allclose(mel_matrix(), oracle["mel_matrix_257x64"], atol=1e-12)
    window = torch.hann_window(400, periodic=True, dtype=torch.float64).numpy()
    np.testing.assert_allclose(window, oracle["periodic_hann_400"], atol=1e-12)


def test_a_second_has_98_frames_and_no_padding():
    assert log_mel(torch.zeros(16_000)).shape == (98, 64)
    assert log_mel(torch.zeros(400)).shape == (1, 64)
    assert log_mel(torch.zeros(559)).shape == (1, 64)
    assert log_mel(torch.zeros(560)).shape == (2, 64)


def test_silence_is_the_logarithm_of_the_offset():
    np.testing.assert_allclose(log_mel(torch.zeros(800)).numpy(), np.log(0.01), rtol=1e-6)


def test_one_frame_by_hand():
    """A constant: its spectrum is the window's own, which bin 0 holds most of and no band takes from there."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    by_hand = np.log(np.abs(np.fft.rfft(0.25 * window, 512))[1:] @ mel_matrix()[1:] + 0.01)
    np.testing.assert_allclose(log_mel(torch.full((400,), 0.25)).numpy()[0], by_hand, atol=1e-6)
    assert not mel_matrix()[0].any()


def test_batched_equals_alone():
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (3, 32_000)).astype(np.float32))
    together = second_examples(noise)
    assert together.shape == (3, 2, 96, 64)
    for row, wave in zip(together, noise, strict=True):
        np.testing.assert_allclose(row.numpy(), second_examples(wave).numpy(), atol=1e-6)


def test_too_few_samples_and_broken_seconds_are_refused():
    with pytest.raises(ValueError, match="399 samples are too few"):
        log_mel(torch.zeros(399))
    with pytest.raises(ValueError, match="15999 samples are not whole seconds"):
        second_examples(torch.zeros(15_999))
