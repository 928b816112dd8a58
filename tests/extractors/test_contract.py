"""Every registered backbone keeps the contract, and the contract notices those that do not."""

import numpy as np
import pytest
import torch

from extractors import registry
from extractors.base import Extractor, Features, Frames, Units
from extractors.contract import check_contract, tiny_clips
from extractors.views import FrameView
from extractors.weights.loading import WeightsSource
from storage.schema import FeatureSpec

RATES = {
    "resnet152": "resnet152@1fps", "efficientnet_lite0": "efficientnet_lite0@2fps", "vgg19_pool5": "vgg19_pool5@1fps",
    "efficientnet_lite0:scores": "efficientnet_lite0:scores@2fps",
}  # fmt: skip
"""A few frames instead of sixteen say as much in a fraction of the time."""
SECONDS = {"clip_vit_l14": 1}
"""Of the clips, where not 2: a batch of this network takes ten seconds and more."""
LARGEST_DIFFERENCE = 1e-5
"""Between engines, relative to the largest value."""
ROWS = {}
"""What a backbone gave on each engine: networks take long to load, so the two are compared where both were checked."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name",
    [
        *registry.names(), "clip:ViT-B-32/openai@2fps", "vggish:pca", "efficientnet_lite0:scores",
        "vggish@0.96s/0.48s", "yamnet@0.96s/0.32s", "clap@1.5s/0.5s",
    ],
)  # fmt: skip
def test_backbone_keeps_the_contract(name, engine, request):
    if name.startswith("clip") and engine == "torch" and torch.get_num_threads() > 1:
        reason = "the last block's products of a row a picture are by MKL: with threads, some rows have other bits"
        request.applymarker(pytest.mark.xfail(reason=reason, raises=AssertionError, strict=False))
    extractor = registry.load(
        RATES.get(name, name), weights="random:0", engine=engine, clip_seconds=SECONDS.get(name, 2)
    )
    ROWS.setdefault(name, {})[engine] = check_contract(extractor)
    if len(ROWS[name]) == 2:
        assert_same_features(*ROWS.pop(name).values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", registry.names())
def test_backbone_keeps_the_contract_on_a_gpu(name):
    extractor = registry.load(RATES.get(name, name), weights="random:0", device="cuda:0", clip_seconds=2)
    extractor.cpu_batch = extractor.gpu_batch  # the shape that it is run in there
    check_contract(extractor)


def assert_same_features(rows, others):
    for array in rows[0]:
        a, b = (np.stack([row[array].values for row in each]) for each in (rows, others))
        assert np.nanmax(np.abs(a - b)) <= LARGEST_DIFFERENCE * np.nanmax(np.abs(a)) > 0


class Mean(Extractor):
    """The mean colour of each frame: the smallest backbone there is. Faults are put in by name."""

    modality = "visual"
    fault = ""

    @property
    def view(self):
        return FrameView(4, 8, "squash")

    @property
    def specs(self):
        steps = 5 if self.fault == "steps" else 4 * self.clip_seconds
        return (FeatureSpec("a/b" if self.fault == "name" else "mean", steps, 3, "visual", 0.25),)

    @property
    def weights_source(self):
        return WeightsSource("", "")

    def load(self, weights, *, device="cpu", precision="float32", engine="torch"):
        self.calls = 0

    def units(self, clip):
        if self.fault == "alters":
            clip.pixels[0] = 0
        valid = np.ones_like(clip.valid) if self.fault == "mask" else clip.valid
        return Units(clip.pixels, np.zeros_like(valid) if self.fault == "nothing" else valid)

    def forward(self, batch):
        self.calls += 1
        values = batch.float().mean(dim=(1, 2)) / 255
        if self.fault == "random":
            values = values + self.calls
        if self.fault == "neighbours":
            values = values - values.mean(dim=0)
        if self.fault == "place":
            values = values + 1e-7 * torch.arange(len(batch))[:, None]
        if self.fault == "infinite":
            values = 1 / values
        return (values,)

    def assemble(self, outputs, valid):
        rows = super().assemble(outputs, valid)
        values = rows["mean"].values
        if self.fault == "dtype":
            values = values.astype(np.float64)
        if self.fault == "zeros":
            values = np.nan_to_num(values)
        return {"other" if self.fault == "arrays" else "mean": Features(values, valid)}


def mean(fault=""):
    extractor = Mean(name="mean", clip_seconds=2)
    extractor.fault = fault
    extractor.load(None)
    return extractor


def test_a_good_backbone_passes():
    check_contract(mean())
    check_contract(mean(), tiny_clips(mean(), seed=3))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("steps", "mean: 5 steps of 0.25 s, of a clip of 2 s"),
        ("name", "'a/b' is no group name"),
        ("alters", "clip 0 was altered"),
        ("mask", "clip 2, mean: steps past the end at 1.0 s are valid"),
        ("nothing", "clip 0: nothing of mean is valid"),
        ("random", "clip 0 run twice: mean differs"),
        ("neighbours", "clip 0 alone and among neighbours: mean differs by"),
        ("place", "output 0: units have other bits at other places: 7 at 0"),
        ("infinite", "clip 3, mean: valid steps are not finite"),
        ("dtype", "dtype float64, expected float32"),
        ("zeros", "steps that are not valid must be NaN"),
        ("arrays", r"arrays \['other'\], specs say \['mean'\]"),
    ],
)
def test_faults_are_found(fault, message):
    with pytest.raises(AssertionError, match=message):
        check_contract(mean(fault))


def test_tiny_clips_are_seeded():
    one, same, other = (tiny_clips(mean(), seed=s)[0].pixels for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_short_clip_is_like_the_beginning_of_the_full_one():
    rows = mean().extract(tiny_clips(mean()))
    full, short = rows[0]["mean"], rows[2]["mean"]
    np.testing.assert_array_equal(full.values[:4], short.values[:4])
    assert np.isnan(short.values[4:]).all()


def test_a_clip_without_a_valid_frame_is_empty():
    (row,) = mean().extract([Frames(np.zeros((8, 8, 8, 3), np.uint8), np.zeros(8, bool), 4)])
    assert not row["mean"].valid.any()
    assert np.isnan(row["mean"].values).all()
    assert torch.is_inference_mode_enabled() is False
