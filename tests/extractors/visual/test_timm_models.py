"""Any model of timm: equal to timm's own forward on timm's own transform."""

import contextlib
import logging
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from torch import nn

from extractors import registry
from extractors.base import Frames
from extractors.contract import check_contract
from storage.errors import InvalidInput, UnknownBackbone, WeightsError

SMALL = ["test_vit3", "test_convnext", "test_efficientnet", "test_resnet"]
LARGEST_DIFFERENCE = 1e-5
"""Relative to the largest value."""


def pictures(count, height=180, width=320):
    random = np.random.RandomState(0)
    coarse = random.randint(0, 256, (count, height // 20, width // 20, 3), dtype=np.uint8)
    return coarse.repeat(20, axis=1).repeat(20, axis=2)


def trained_like(model):
    """A network in which pictures differ: the authors' first values, and norms that have seen pictures."""
    torch.manual_seed(0)
    network = timm.create_model(model, pretrained=False, num_classes=0)
    transform = create_transform(**resolve_model_data_config(network), is_training=False)
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if norms:
        for norm in norms:
            norm.momentum = None
            norm.train()
        with torch.no_grad():
            network(torch.stack([transform(Image.fromarray(image)) for image in pictures(4)]))
        for norm in norms:
            norm.running_var.clamp_(min=0.1)  # four pictures may agree by chance: dividing by that magnifies rounding
    return network.eval().requires_grad_(False), transform


def features(name, path, images, *, engine="torch"):
    extractor = registry.load(name, weights=str(path), clip_seconds=1, engine=engine)
    pixels = np.stack([extractor.view.apply(image) for image in images])
    (row,) = extractor.extract([Frames(pixels, np.ones(len(images), bool), len(images))])
    return row[extractor.array_name].values


def close(ours, theirs):
    theirs = theirs.numpy()
    assert ours.shape == theirs.shape
    assert theirs.std(axis=0).max() > 1e-3 * np.abs(theirs).max()  # different frames give different features
    assert np.abs(ours - theirs).max() <= LARGEST_DIFFERENCE * np.abs(theirs).max()


@pytest.mark.parametrize("model", SMALL)
def test_features_equal_timms(model, engine, tmp_path):
    network, transform = trained_like(model)
    torch.save(network.state_dict(), tmp_path / "w.pth")
    images = pictures(2)
    ours = features(f"timm:{model}@2fps", tmp_path / "w.pth", images, engine=engine)
    with torch.inference_mode():
        close(ours, network(torch.stack([transform(Image.fromarray(image)) for image in images])))


@pytest.mark.parametrize("kind", ["cls", "tokens"])
def test_tokens_equal_timms(kind, tmp_path):
    network, transform = trained_like("test_vit")
    torch.save(network.state_dict(), tmp_path / "w.pth")
    images = pictures(2)
    ours = features(f"timm:test_vit:{kind}@2fps", tmp_path / "w.pth", images)
    with torch.inference_mode():
        tokens = network.forward_features(torch.stack([transform(Image.fromarray(image)) for image in images]))
    first = network.num_prefix_tokens
    assert first > 0
    close(ours, tokens[:, 0] if kind == "cls" else tokens[:, first:].mean(dim=1))


@pytest.mark.parametrize("model", [*SMALL, "test_vit:cls", "test_vit:tokens"])
def test_the_contract_is_kept(model):
    check_contract(registry.load(f"timm:{model}@2fps", weights="random:0", engine="torch", clip_seconds=1))


def test_what_openvino_cannot_convert_is_told():
    pytest.importorskip("openvino")
    with pytest.raises(InvalidInput, match=r"timm:test_vit: OpenVINO cannot convert .*bicubic.*\. Use --engine torch"):
        registry.load("timm:test_vit", weights="random:0", engine="openvino", clip_seconds=1)


@pytest.mark.parametrize("model", ["test_vit", "test_resnet"])
def test_converting_leaves_the_log_of_the_process_as_it_was(model):
    """OpenVINO sets the root logger to ERROR where it fails, and warnings of everything else were lost."""
    pytest.importorskip("openvino")
    root = logging.getLogger()
    before = (root.level, list(root.filters), list(root.handlers))
    with contextlib.suppress(InvalidInput):
        registry.load(f"timm:{model}", weights="random:0", engine="openvino", clip_seconds=1)
    assert (root.level, list(root.filters), list(root.handlers)) == before


@pytest.mark.parametrize(
    "model",
    ["test_vit", "dm_nfnet_f0", "vit_base_patch16_siglip_224", "convnext_tiny.fb_in22k_ft_in1k_384", "inception_v3"],
)
@pytest.mark.parametrize(("height", "width"), [(180, 320), (480, 480), (100, 120)])
def test_pixels_equal_timms_transform_bit_for_bit(model, height, width):
    extractor = registry.create(f"timm:{model}")
    (image,) = pictures(1, height, width)
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(model).to_dict())
    transform = create_transform(**config, is_training=False, normalize=False)
    official = transform(Image.fromarray(image)).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(extractor.view.apply(image), official)
    assert extractor.normalisation == (tuple(config["mean"]), tuple(config["std"]))


@pytest.mark.parametrize(
    ("name", "array", "steps", "dim"),
    [
        ("timm:test_vit", "timm_test_vit", 80, 64),
        ("timm:test_vit.r160_in1k@2fps", "timm_test_vit.r160_in1k_2fps", 20, 64),
        ("timm:test_vit:cls@1fps", "timm_test_vit_cls_1fps", 10, 64),
        ("timm:mobilenetv4_conv_small", "timm_mobilenetv4_conv_small", 80, 1280),
    ],
)
def test_specs(name, array, steps, dim):
    (spec,) = registry.create(name).specs
    assert (spec.name, spec.steps, spec.dim, spec.step_seconds) == (array, steps, dim, 10 / steps)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:", "expected timm:"),
        ("timm:resnet", "timm has no model 'resnet'; nearest: .*resnet.*Expected timm:NAME"),
        ("timm:resnet18.foo", "timm has no weights 'foo' for resnet18; it has .*a1_in1k"),
        ("timm:resnet18.", "timm has no weights '' for resnet18; it has .*a1_in1k"),
        ("timm:test_vit:patches", "timm has no model 'test_vit:patches'"),
        ("timm:vit_base_patch16_sapiens2", "wants 3 channels of 1024 x 768 pixels; only square"),
        ("timm:deepseek_vit_412m.deepseek_v4_1_flash", "wants the crop mode 'border'; only center and squash"),
        ("timm:test_byobnet:cls", "ByobNet has no class token; ask for 'timm:test_byobnet'"),
        ("timm:test_byobnet:tokens@2fps", "ByobNet gives a map, no tokens; ask for 'timm:test_byobnet@2fps', its mean"),
    ],
)
def test_bad_names_are_explained(name, message):
    with pytest.raises(UnknownBackbone, match=message):
        registry.create(name).specs  # noqa: B018


def test_a_file_with_a_classifier_is_taken_without_it(tmp_path):
    whole = timm.create_model("test_vit", pretrained=False)
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    bare = {name: value for name, value in whole.state_dict().items() if not name.startswith("head.")}
    torch.save(bare, tmp_path / "bare.pth")
    images = pictures(2)
    one, other = (features("timm:test_vit@2fps", tmp_path / name, images) for name in ("whole.pth", "bare.pth"))
    np.testing.assert_array_equal(one, other)


def test_a_checkpoint_of_the_authors_is_converted_by_timm(tmp_path):
    whole = timm.create_model("convnext_atto", pretrained=False).eval()
    official = {}  # by the names of the authors' repository
    for name, value in whole.state_dict().items():
        name = name.replace("stem.", "downsample_layers.0.").replace("head.norm.", "norm.").replace("head.fc.", "head.")
        if name.startswith("stages."):
            _, stage, part, *rest = name.split(".")
            if part == "downsample":
                name = ".".join(["downsample_layers", stage, *rest])
            else:
                name = ".".join(["stages", stage, *rest])
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc1", "pwconv1").replace("mlp.fc2", "pwconv2")
        if ".pwconv" in name and name.endswith("weight"):
            value = value.flatten(1)
        official[name] = value
    torch.save({"model": official}, tmp_path / "authors.pth")
    torch.save(whole.state_dict(), tmp_path / "timms.pth")
    images = pictures(2)
    one, other = (features("timm:convnext_atto@2fps", tmp_path / name, images) for name in ("authors.pth", "timms.pth"))
    np.testing.assert_array_equal(one, other)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(timm.create_model("test_byobnet", pretrained=False).state_dict(), tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=r"w.pth: does not fit VisionTransformer: \d+ missing: cls_token.*unexpected"
    ):
        registry.load("timm:test_vit", weights=str(tmp_path / "w.pth"), engine="torch")


def test_published_weights_are_the_hubs_or_a_url():
    hub = registry.create("timm:vit_small_patch16_dinov3.lvd1689m").weights_source
    assert hub.url == "https://huggingface.co/timm/vit_small_patch16_dinov3.lvd1689m/resolve/main/model.safetensors"
    assert hub.filename == "timm--vit_small_patch16_dinov3.lvd1689m--model.safetensors"
    assert registry.create("timm:legacy_seresnet18").weights_source.filename == "seresnet18-4bb0ce65.pth"


def test_unpublished_weights_are_told():
    bare = sorted(set(timm.list_models()) - {name.partition(".")[0] for name in timm.list_pretrained()})[0]
    with pytest.raises(WeightsError, match="no weights are published for it"):
        registry.load(f"timm:{bare}")


def test_search_finds_names_with_their_tags():
    found = registry.family("timm").search("vit_small*dinov3*")
    assert "timm:vit_small_patch16_dinov3.lvd1689m" in [item.name for item in found]
    assert not any(item.cached for item in found)
    assert registry.family("timm").search("nothing_of_that_name") == []


def test_making_one_imports_no_timm():
    code = (
        "import sys; from extractors import registry\n"
        "registry.create('timm:resnet18', clip_seconds=3)\n"
        "assert not {'timm', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
