import pytest
import torch
from torch.nn import functional

from pipeline.models.input_projection import CLAP_GRID, InputProjection, grid_pooling, segment_mean


def test_frames_are_averaged_as_if_after_the_projection():
    input_projection = InputProjection(6, audio_dim=3, visual_2d_dim=4, visual_3d_dim=5)
    audio, frames, motion = torch.rand(2, 10, 3), torch.rand(2, 80, 4), torch.rand(2, 10, 5)
    projected = input_projection.visual_2d(frames).transpose(1, 2).unsqueeze(-1)
    averaged = functional.avg_pool2d(projected, (8, 1)).squeeze(-1).transpose(1, 2)
    visual = input_projection.fusion(torch.cat([averaged, input_projection.visual_3d(motion)], dim=-1))
    found = input_projection(audio, frames, motion)
    torch.testing.assert_close(found.visual, visual, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.audio, input_projection.audio(audio))
    already = input_projection(audio, segment_mean(frames, 10), motion)
    torch.testing.assert_close(already.visual, visual, atol=1e-6, rtol=0)


@pytest.mark.parametrize("segments", [10, 7])
def test_clap_map_is_stretched_projected_and_pooled_as_published(segments):
    input_projection = InputProjection(16, segments=segments, audio_dim=8, visual_2d_dim=8, audio_grid=CLAP_GRID)
    audio = torch.randn(3, 64, 8)
    image = audio.transpose(1, 2).reshape(3, 8, 2, 32)
    wide = functional.interpolate(image, size=(2, 1024), mode="bicubic")
    projected = input_projection.audio(wide.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).mean(dim=2)
    expected = functional.adaptive_avg_pool1d(projected, segments).transpose(1, 2)
    found = input_projection(audio, torch.rand(3, segments, 8), torch.rand(3, segments, 512)).audio
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


def test_pooling_rows_add_up_to_one_and_follow_time():
    pooling = grid_pooling(2, 32, 10)
    assert pooling.shape == (10, 64)
    torch.testing.assert_close(pooling.sum(dim=1), torch.ones(10))
    centre = (pooling[:, :32] * 2 * torch.arange(32)).sum(dim=1)
    torch.testing.assert_close(centre, (torch.arange(10) + 0.5) * 3.2 - 0.5, atol=0.1, rtol=0)


def test_the_pooling_is_no_weight():
    input_projection = InputProjection(4, audio_grid=CLAP_GRID)
    assert set(input_projection.state_dict()) == {
        f"{name}.{leaf}" for name in ("audio", "visual_2d", "visual_3d", "fusion") for leaf in ("weight", "bias")
    }
    assert input_projection(torch.rand(1, 10, 128), torch.rand(1, 10, 2048), torch.rand(1, 10, 512)).audio.shape == (
        1,
        10,
        4,
    )


def test_malformed():
    input_projection = InputProjection(4)
    audio, frames, motion = torch.rand(1, 10, 128), torch.rand(1, 80, 2048), torch.rand(1, 10, 512)
    with pytest.raises(ValueError, match="64 steps do not fill 10 whole segments"):
        input_projection(torch.rand(1, 64, 128), frames, motion)
    with pytest.raises(ValueError, match=r"visual_2d: shape is \[1, 80, 512\], expected \[clips, steps, 2048\]"):
        input_projection(audio, torch.rand(1, 80, 512), motion)
    with pytest.raises(ValueError, match="5 steps do not fill"):
        input_projection(audio, frames, torch.rand(1, 5, 512))
