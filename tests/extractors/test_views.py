"""A view must give what the official transforms give."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model_weights
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from torchvision.transforms.functional import center_crop
from torchvision.transforms.functional import resize as resize_tensor

from extractors import resize
from extractors.views import AudioView, FrameView

SIZES = [(241, 319), (319, 241), (360, 640), (640, 360), (224, 224), (256, 300), (100, 90), (1080, 607), (17, 2000)]


def picture(height, width, seed=0):
    random = np.random.RandomState(seed)
    coarse = random.randint(0, 256, (height // 7 + 1, width // 7 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(7, axis=0).repeat(7, axis=1)[:height, :width])


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("short_side", "size"), [(256, 224), (224, 224), (200, 225)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crop_equals_torchvision_bit_for_bit(height, width, short_side, size, interpolation):
    image = picture(height, width)
    official = Compose([Resize(short_side, interpolation=InterpolationMode(interpolation)), CenterCrop(size)])
    ours = FrameView(8, size, "crop", short_side=short_side, interpolation=interpolation).apply(image)
    np.testing.assert_array_equal(ours, np.asarray(official(Image.fromarray(image))))


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("squashed", [False, True])
def test_the_corner_may_be_where_transformers_puts_it(height, width, squashed):
    from transformers import CLIPImageProcessorPil

    image = picture(height, width)
    size = {"height": 119, "width": 119} if squashed else {"shortest_edge": 119}
    official = CLIPImageProcessorPil(size=size, crop_size={"height": 112, "width": 112}, do_rescale=False)
    theirs = official(Image.fromarray(image), do_normalize=False).pixel_values[0].transpose(1, 2, 0)
    how = {"geometry": "squash", "squashed_to": (119, 119)} if squashed else {"short_side": 119}
    view = FrameView(1, 112, **how, interpolation="bicubic", corner="floor")
    if height <= width:  # Pillow 13 resizes the height of tall pictures first, here the width comes first
        np.testing.assert_array_equal(view.apply(image), theirs)
    assert view.to_json()["corner"] == "floor"
    assert "corner" not in FrameView(1, 112, short_side=119).to_json()


FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_compiled_equals_pillow_bit_for_bit(interpolation):
    random = np.random.default_rng(0)
    for _ in range(150):
        image = random.integers(0, 256, (*random.integers(5, 300, 2), 3), dtype=np.uint8)
        height, width = (int(side) for side in random.integers(1, 300, 2))
        rows, columns = int(random.integers(1, height + 1)), int(random.integers(1, width + 1))
        top, left = int(random.integers(0, height - rows + 1)), int(random.integers(0, width - columns + 1))
        part = {"top": top, "left": left, "rows": rows, "columns": columns, "interpolation": interpolation}
        # A pass at a time, width first, whatever order this Pillow would choose.
        wide = Image.fromarray(image).resize((width, image.shape[0]), FILTERS[interpolation])
        whole = np.asarray(wide.resize((width, height), FILTERS[interpolation]))
        ours = resize.resize_compiled(image, height, width, **part)
        np.testing.assert_array_equal(ours, whole[top : top + rows, left : left + columns])


def test_compiling_changes_no_pixel(monkeypatch):
    image, view = picture(360, 640), FrameView(8, 224, "crop", short_side=256)
    with_pillow = view.apply(image)
    monkeypatch.setattr(resize, "PILLOW_FIRST", 0)
    np.testing.assert_array_equal(view.apply(image), with_pillow)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_squash_equals_torchvision_bit_for_bit(height, width, interpolation):
    image = picture(height, width)
    transform = Resize((112, 112), interpolation=InterpolationMode(interpolation))
    ours = FrameView(8, 112, "squash", interpolation=interpolation).apply(image)
    if height <= width:
        np.testing.assert_array_equal(ours, np.asarray(transform(Image.fromarray(image))))
        return
    # Pillow 13 resizes the height of tall pictures first; the published features were made width first.
    wide = Image.fromarray(image).resize((112, height), FILTERS[interpolation])
    np.testing.assert_array_equal(ours, np.asarray(wide.resize((112, 112), FILTERS[interpolation])))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_plain_squash_equals_interpolate_to_a_level(height, width):
    image = picture(height, width)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    official = torch.nn.functional.interpolate(
        tensor, size=(224, 224), mode="bilinear", align_corners=False, antialias=False
    )
    ours = FrameView(1, 224, "squash", antialias=False).apply(image)
    assert ours.shape == (224, 224, 3)
    assert ours.dtype == np.uint8
    # Half a level of 255 from rounding; the rest is torch, whose float32 positions are off by up to 0.02 levels here.
    assert np.abs(ours - official[0].permute(1, 2, 0).numpy()).max() <= 0.55


def test_an_image_of_the_right_size_is_left_alone():
    image = picture(112, 112)
    before = image.copy()
    np.testing.assert_array_equal(FrameView(8, 112, "squash").apply(image), before)
    np.testing.assert_array_equal(image, before)


def test_sizes_and_provenance():
    view = FrameView(8, 224, "crop", short_side=256)
    assert view.frames(10) == 80
    assert view.nbytes(10) == 80 * 224 * 224 * 3
    assert view.to_json()["short_side"] == 256
    assert view.modality == "visual"
    assert AudioView(16000).nbytes(10) == 640_000


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("squashed_to", "size"), [((128, 171), 112), ((256, 256), 224)])
def test_squash_and_crop_equals_torchvision_bit_for_bit(height, width, squashed_to, size):
    image = picture(height, width)
    interpolation = InterpolationMode.BICUBIC
    ours = FrameView(8, size, "squash", interpolation="bicubic", squashed_to=squashed_to).apply(image)
    # A pass at a time, width first: Pillow 13 resizes the height of tall pictures first.
    wide = Image.fromarray(image).resize((squashed_to[1], height), FILTERS["bicubic"])
    official = Compose([Resize(squashed_to, interpolation=interpolation), CenterCrop(size)])
    np.testing.assert_array_equal(ours, np.asarray(official(wide)))


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("network", ["r3d_18", "s3d", "mvit_v1_b"])
def test_video_views_equal_torchvisions_on_uint8_tensors_to_a_level(height, width, network):
    image = picture(height, width)
    preset = get_model_weights(network).DEFAULT.transforms()
    tensor = torch.from_numpy(image).permute(2, 0, 1).contiguous()
    resized = resize_tensor(tensor, preset.resize_size, interpolation=preset.interpolation, antialias=False)
    official = center_crop(resized, preset.crop_size).permute(1, 2, 0).numpy()
    (size, _), sides = preset.crop_size, preset.resize_size
    geometry = {"squashed_to": tuple(sides)} if len(sides) == 2 else {"short_side": sides[0]}
    view = FrameView(16, size, "squash" if len(sides) == 2 else "crop", antialias=False, **geometry)
    off = np.abs(view.apply(image).astype(int) - official)
    assert off.max() <= 1
    assert (off > 0).mean() < 1e-3


def test_what_older_stores_hold_of_a_view_stays_the_same():
    older = {
        "frames_per_second": 8, "size": 224, "geometry": "crop", "short_side": 256, "interpolation": "bilinear",
        "antialias": True,
    }  # fmt: skip
    assert FrameView(8, 224, "crop", short_side=256).to_json() == older
    assert FrameView(16, 112, "squash", squashed_to=(128, 171)).to_json()["squashed_to"] == (128, 171)


def test_a_bicubic_view_without_antialiasing_is_refused():
    with pytest.raises(ValueError, match="without antialiasing is bilinear, not bicubic"):
        FrameView(8, 224, interpolation="bicubic", antialias=False)


def test_views_that_would_give_black_or_no_pictures_are_refused():
    with pytest.raises(ValueError, match="a crop needs the shorter side that pictures are scaled to, not 0"):
        FrameView(8, 224)
    with pytest.raises(ValueError, match="0 frames a second"):
        FrameView(0, 224, "squash")
    with pytest.raises(ValueError, match="0 pixels wide"):
        FrameView(8, 0, "squash")


def test_the_least_side_is_what_a_view_need_not_enlarge():
    assert FrameView(8, 224, "crop", short_side=256).least_side == 256
    assert FrameView(8, 112, "squash").least_side == 112
    assert FrameView(8, 112, "squash", squashed_to=(128, 171)).least_side == 171
