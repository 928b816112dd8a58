import base64
import io

import numpy as np
from PIL import Image

from pipeline.datasets.clip_preview import Preview
from pipeline.parsing.page.encoding import encode_probabilities, encode_strip, encode_wave

NO_SOUND = np.zeros((0, 2), np.float32)


def levels_of(wave):
    return np.frombuffer(base64.b64decode(wave.levels), np.int8).reshape(-1, 2)


def test_few_thumbnails_are_large_and_many_are_small(preview):
    few = encode_strip(preview)
    pictures = np.random.default_rng(0).integers(0, 255, (90, 160, 3)).astype(np.uint8)
    many = encode_strip(Preview(tuple((float(second), pictures) for second in range(61)), NO_SOUND, 0.05))
    sizes = [Image.open(io.BytesIO(base64.b64decode(strip.pictures[0][1]))).size for strip in (few, many)]
    assert sizes == [(160, 90), (96, 54)]
    assert few.aspect == 160 / 90
    decoded = Image.open(io.BytesIO(base64.b64decode(few.pictures[5][1])))
    assert abs(int(np.asarray(decoded)[40, 80, 0]) - 100) < 4


def test_an_envelope_in_two_bytes_a_step(preview):
    wave = encode_wave(preview)
    levels = levels_of(wave)
    assert (levels.shape, wave.step_seconds, wave.peak) == ((200, 2), 0.05, 0.5)
    assert levels[0].tolist() == [-127, 64]
    assert (levels[100:] == -128).all()


def test_a_long_envelope_keeps_its_peaks():
    envelope = np.zeros((50_001, 2), np.float32)
    envelope[40_000] = (-0.25, 0.5)
    envelope[:30] = np.nan
    wave = encode_wave(Preview((), envelope, 0.05))
    levels = levels_of(wave)
    assert levels.shape == (16_667, 2)
    assert np.isclose(wave.step_seconds, 0.15)
    assert levels[13_333].tolist() == [-64, 127]
    assert (levels[:10] == -128).all()
    assert (levels[10:13_333] == 0).all()


def test_silence_is_flat_and_no_sound_is_nothing():
    silent = encode_wave(Preview((), np.zeros((3, 2), np.float32), 0.05))
    assert (silent.peak, levels_of(silent).tolist()) == (0, [[0, 0]] * 3)
    assert levels_of(encode_wave(Preview((), NO_SOUND, 0.05))).shape == (0, 2)


def test_probabilities_by_class():
    grid = np.array([[0.12345, 1.0], [np.nan, np.nan], [0.0, 0.5]], np.float32)
    assert encode_probabilities(grid) == [[1234, None, 0], [10000, None, 5000]]
