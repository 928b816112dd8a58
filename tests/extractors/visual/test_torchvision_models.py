"""Any classification network of torchvision: equal to its own forward, on pixels equal to its own transform's."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models

from extractors import registry
from extractors.base import Frames
from extractors.contract import check_contract
from extractors.visual.torchvision_models import FIXED_FRAMES, VIDEO_NETWORKS, networks
from extractors.weights.loading import fill_random
from storage.errors import UnknownBackbone

LARGEST_DIFFERENCE = 1e-5
"""Relative to the largest value."""
QUICK = ["mc3_18", "squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5"]


def pictures(count, height=180, width=320):
    random = np.random.RandomState(0)
    coarse = random.randint(0, 256, (count, height // 20, width // 20, 3), dtype=np.uint8)
    return coarse.repeat(20, axis=1).repeat(20, axis=2)


def classifier_of(network, classes):
    """The last layer, found by its size alone."""
    layers = [part for part in network.modules() if isinstance(part, (nn.Linear, nn.Conv2d, nn.Conv3d))]
    return [part for part in layers if classes in (getattr(part, "out_features", 0), getattr(part, "out_channels", 0))][
        -1
    ]


def what_the_classifier_reads(network, batch, classes):
    seen = []
    with torch.inference_mode():
        hook = classifier_of(network, classes).register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
        network(batch)
        hook.remove()
    return seen[0].flatten(2).mean(2) if seen[0].ndim > 2 else seen[0]


def assert_equal_to_torchvision(name, path, engine):
    made = registry.create(f"torchvision:{name}", clip_seconds=1)
    network = made.build()
    fill_random(network, 1)
    torch.save(network.state_dict(), path)
    video = name in VIDEO_NETWORKS
    full = f"torchvision:{name}" if video else f"torchvision:{name}@2fps"
    extractor = registry.load(full, weights=str(path), engine=engine, clip_seconds=1)
    count = extractor.view.frames_per_second
    pixels = np.stack([extractor.view.apply(image) for image in pictures(count)])
    (row,) = extractor.extract([Frames(pixels, np.ones(count, bool), count)])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in made.normalisation)
    batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std
    batch = batch.transpose(0, 1)[None] if video else batch
    theirs = what_the_classifier_reads(network.eval(), batch, len(made.weights.meta["categories"])).numpy()
    ours = row[extractor.array_name].values
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= LARGEST_DIFFERENCE * np.abs(theirs).max() > 0
    return extractor


@pytest.mark.parametrize("name", QUICK)
def test_features_equal_torchvisions(name, engine, tmp_path):
    assert_equal_to_torchvision(name, tmp_path / "w.pth", engine)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["mc3_18", "s3d"])  # the transformers take minutes each
def test_video_networks_keep_the_contract(name, tmp_path):
    check_contract(assert_equal_to_torchvision(name, tmp_path / "w.pth", "torch"))


@pytest.mark.parametrize("name", QUICK[1:])
def test_image_networks_keep_the_contract(name):
    check_contract(registry.load(f"torchvision:{name}@2fps", weights="random:0", engine="torch", clip_seconds=1))


def test_every_video_network_is_known():
    assert sorted(VIDEO_NETWORKS) == sorted(models.list_models(module=models.video))
    assert set(FIXED_FRAMES) <= set(VIDEO_NETWORKS)


def test_every_preset_has_a_view_and_a_file():
    for name in networks():
        for entry in models.get_model_weights(name):
            made = registry.create(f"torchvision:{name}:{entry.name}")
            assert made.view.size > 0
            assert made.weights_source.filename in entry.url
            assert len(made.weights_source.sha256) >= 8
            assert int(made.weights_source.sha256, 16)
            assert made.weights_source.megabytes > 1


@pytest.mark.parametrize("name", ["resnet18", "swin_v2_t", "vit_b_16:IMAGENET1K_SWAG_E2E_V1"])
def test_pixels_equal_the_presets_bit_for_bit(name):
    made = registry.create(f"torchvision:{name}")
    (image,) = pictures(1)
    preset = made.weights.transforms()
    mean, std = (np.array(values)[:, None, None] for values in made.normalisation)
    official = preset(Image.fromarray(image)).double().numpy() * std + mean
    np.testing.assert_array_equal(made.view.apply(image).transpose(2, 0, 1), np.rint(official * 255))


@pytest.mark.parametrize(
    ("name", "array", "steps", "dim"),
    [
        ("torchvision:resnet18", "torchvision_resnet18", 80, 512),
        ("torchvision:resnet50:IMAGENET1K_V1@1fps", "torchvision_resnet50_IMAGENET1K_V1_1fps", 10, 2048),
        ("torchvision:vgg11", "torchvision_vgg11", 80, 4096),
        ("torchvision:regnet_y_400mf", "torchvision_regnet_y_400mf", 80, 440),
        ("torchvision:r3d_18@8fps", "torchvision_r3d_18_8fps", 10, 512),
        ("torchvision:s3d", "torchvision_s3d", 10, 1024),
        ("torchvision:mvit_v2_s", "torchvision_mvit_v2_s", 10, 768),
    ],
)
def test_specs(name, array, steps, dim):
    (spec,) = registry.create(name).specs
    assert (spec.name, spec.steps, spec.dim, spec.step_seconds) == (array, steps, dim, 10 / steps)


def test_the_provenance_says_how_many_frames_a_unit_has():
    facts = registry.create("torchvision:r3d_18").preprocessing
    assert facts["frames_per_segment"] == facts["frames_per_second"] == 16
    assert facts["squashed_to"] == (128, 171)
    assert registry.create("torchvision:r3d_18@8fps").preprocessing["frames_per_segment"] == 8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:", "expected torchvision:"),
        ("torchvision:resnet17", "no classification network 'resnet17'; nearest: resnet1"),
        ("torchvision:raft_large", "no classification network 'raft_large'.*Expected torchvision:NAME"),
        ("torchvision:resnet18:V2", "no weights 'V2' for resnet18; it has IMAGENET1K_V1"),
        ("torchvision:mvit_v1_b@8fps", "mvit_v1_b takes 16 frames a second, not 8"),
        ("torchvision:s3d@8fps", "s3d takes at least 14 frames a second, not 8"),
    ],
)
def test_bad_names_are_explained(name, message):
    with pytest.raises(UnknownBackbone, match=message):
        registry.create(name).view  # noqa: B018


def test_search_finds_networks_and_further_weights():
    found = [item.name for item in registry.family("torchvision").search("swin3d*")]
    assert found == ["torchvision:swin3d_b", "torchvision:swin3d_b:KINETICS400_IMAGENET22K_V1", "torchvision:swin3d_s",
                     "torchvision:swin3d_t"]  # fmt: skip


def test_making_one_imports_no_torchvision():
    code = (
        "import sys; from extractors import registry\n"
        "registry.create('torchvision:r3d_18', clip_seconds=3)\n"
        "assert not {'torchvision', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
