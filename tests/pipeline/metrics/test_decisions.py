import numpy as np
import pytest

from pipeline.metrics.decisions import decide
from storage.errors import InvalidInput


@pytest.fixture
def probabilities():
    random = np.random.default_rng(0)
    segment = {f"{m}_segment": random.random((3, 10, 5)) for m in ("audio", "visual")}
    return segment | {f"{m}_video": random.random((3, 5)) for m in ("union", "audio", "visual")}


@pytest.mark.parametrize(
    ("mask", "audio_by", "visual_by"),
    [
        ("union", "union_video", "union_video"),
        ("own", "audio_video", "visual_video"),
        ("mmcse", "union_video", "visual_video"),
    ],
)
def test_masks(probabilities, mask, audio_by, visual_by):
    audio, visual = decide(**probabilities, mask=mask)
    for found, segment, video in ((audio, "audio_segment", audio_by), (visual, "visual_segment", visual_by)):
        expected = (probabilities[segment] >= 0.5) & (probabilities[video] >= 0.5)[:, None]
        np.testing.assert_array_equal(found, expected)


def test_no_mask_needs_segments_only(probabilities):
    segments = {name: probabilities[name] for name in ("audio_segment", "visual_segment")}
    audio, _ = decide(**segments, mask="none")
    np.testing.assert_array_equal(audio, segments["audio_segment"] >= 0.5)
    with pytest.raises(InvalidInput, match="mask 'union' needs union_video"):
        decide(**segments)


def test_a_probability_equal_to_the_threshold_counts():
    half = np.full((1, 1, 2), 0.5, np.float32)
    assert decide(half, half, mask="none")[0].all()
    assert decide(half, half, mask="none", threshold=[0.5, 0.6])[0].tolist() == [[[True, False]]]


def test_thresholds_per_class_and_of_the_video(probabilities):
    levels = np.linspace(0.1, 0.9, 5)
    audio, _ = decide(**probabilities, threshold=levels, video_threshold=0.3)
    expected = (probabilities["audio_segment"] >= levels) & (probabilities["union_video"] >= 0.3)[:, None]
    np.testing.assert_array_equal(audio, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": "both"}, "mask 'both': expected one of none, union, own, mmcse"),
        ({"threshold": [0.5, 0.5]}, r"threshold: shape is \[2\], expected one number or 5"),
        ({"union_video": np.zeros((3, 4))}, r"union_video: shape is \[3, 4\], expected \[3, 5\]"),
        ({"visual_segment": np.zeros((3, 10, 4))}, "shapes differ"),
        ({"audio_segment": np.zeros((3, 10))}, r"expected \[videos, segments, classes\]"),
        ({"audio_segment": np.full((3, 10, 5), np.nan)}, "150 of 150 values are NaN"),
    ],
)
def test_malformed(probabilities, change, message):
    with pytest.raises(InvalidInput, match=message):
        decide(**probabilities | change)
