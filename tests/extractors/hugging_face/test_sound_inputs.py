"""Short cuts give what the feature extractors give the long way."""

import numpy as np
import pytest
import transformers

from extractors.hugging_face.sound_inputs import clap, plain, whisper


def seconds(rate):
    loud = np.random.RandomState(0).uniform(-0.5, 0.5, (2, rate)).astype(np.float32)
    return np.concatenate([loud, np.zeros((1, rate), np.float32)])


@pytest.mark.parametrize("options", [{"truncation": "rand_trunc"}, {}, {"padding": "repeat"}, {"padding": "pad"}])
def test_clap(options):
    extractor = transformers.ClapFeatureExtractor(**options)
    expected = plain(extractor, seconds(48_000))[:, :1]
    assert expected.shape == (3, 1, 1001, 64)
    np.testing.assert_allclose(clap(extractor, seconds(48_000)), expected, atol=1e-3)


def test_whisper():
    extractor = transformers.WhisperFeatureExtractor()
    expected = plain(extractor, seconds(16_000))
    assert expected.shape == (3, 80, 3000)
    np.testing.assert_allclose(whisper(extractor, seconds(16_000)), expected, atol=1e-6)
