"""Both engines give the same features."""

import importlib.util

import numpy as np
import pytest

from extractors import registry
from extractors.contract import tiny_clips

LARGEST_DIFFERENCE = 1e-5
"""Relative to the largest value."""

pytestmark = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")


@pytest.mark.parametrize(
    "name",
    ["resnet152@1fps", "r2plus1d_18", "vgg19_pool5@1fps", "efficientnet_lite0@1fps", "clip:ViT-B-32/openai", "vggish",
     "vggish:pca", "clap", pytest.param("clip_vit_l14", marks=pytest.mark.slow)],
)  # fmt: skip
def test_engines_agree(name):
    rows = []
    for engine in ("torch", "openvino"):
        extractor = registry.load(name, weights="random:0", engine=engine, clip_seconds=1)
        rows.append(extractor.extract(tiny_clips(extractor)[:2], batch_units=extractor.cpu_batch))
    for ours, other in zip(*rows, strict=True):
        for array, features in ours.items():
            a, b = features.values, other[array].values
            assert np.nanmax(np.abs(a)) > 0
            assert np.nanmax(np.abs(a - b)) <= LARGEST_DIFFERENCE * np.nanmax(np.abs(a))
