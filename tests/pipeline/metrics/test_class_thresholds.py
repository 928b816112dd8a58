import numpy as np
import pytest

from pipeline.metrics.class_thresholds import search_class_thresholds
from pipeline.metrics.decisions import decide
from pipeline.metrics.parsing import parsing_scores


def test_by_hand():
    true = np.zeros((2, 4, 4), bool)
    true[0, :2, :3] = True
    audio = np.where(true, 0.32, 0.12)  # class 0: anything from 0.15 to 0.30
    audio[..., 1] = np.where(true[..., 1], 0.97, 0.81)  # class 1: from 0.85
    audio[..., 2] = true[..., 2]  # class 2: right at 0.5
    audio[..., 3] = 0.7  # class 3: nowhere true
    nothing = np.zeros_like(true)
    found = search_class_thresholds(
        {"audio_segment": audio, "visual_segment": nothing * 0.0}, true, nothing, mask="none"
    )
    np.testing.assert_allclose(found, [0.3, 0.85, 0.5, 0.5])
    lower = search_class_thresholds(
        {"audio_segment": audio, "visual_segment": nothing * 0.0}, true, nothing, mask="none", start=0.2
    )
    np.testing.assert_allclose(lower, [0.2, 0.85, 0.2, 0.2])


@pytest.mark.parametrize("mask", ["union", "own"])
def test_scores_of_the_searched_videos_do_not_fall(mask):
    random = np.random.default_rng(3)
    true = random.random((40, 10, 6)) < 0.2
    scale = random.random(6)
    found = {
        name: np.clip((truth + random.random(truth.shape)) / 2 * scale, 0, 1)
        for name, truth in (("audio_segment", true), ("visual_segment", true), ("union_video", true.any(axis=1)),
                            ("audio_video", true.any(axis=1)), ("visual_video", true.any(axis=1)))
    }  # fmt: skip
    levels = search_class_thresholds(found, true, true, mask=mask)
    before, after = (
        parsing_scores(*decide(**found, mask=mask, threshold=one), true, true).average for one in (0.5, levels)
    )
    assert after > before
