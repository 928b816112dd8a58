import pytest
import torch

from pipeline.models.dropout import Dropout, random_levels


def test_drops_its_share_and_keeps_the_mean():
    torch.manual_seed(0)
    out = Dropout(0.2)(torch.ones(2000, 1000))
    dropped = out == 0
    assert dropped.float().mean().item() == pytest.approx(0.2, abs=0.001)
    assert out.mean().item() == pytest.approx(1, abs=0.002)
    assert out[~dropped].unique().item() == pytest.approx(1 / (1 - round(0.2 * 65536) / 65536))
    neighbours = (dropped[:, 1:] & dropped[:, :-1]).float().mean().item()
    assert neighbours == pytest.approx(0.04, abs=0.001)  # values of one draw are independent


def test_gradient_is_the_mask():
    values = torch.randn(7, 3, requires_grad=True)
    out = Dropout(0.5)(values)
    out.sum().backward()
    torch.testing.assert_close(values.grad * values, out)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_none_and_all(share):
    values = torch.randn(5, 3)
    torch.testing.assert_close(Dropout(share)(values), values * (1 - share))
    assert torch.equal(Dropout(0.5).eval()(values), values)


def test_levels_are_uniform_and_seeded():
    torch.manual_seed(3)
    levels = random_levels(400_003)
    torch.manual_seed(3)
    assert torch.equal(levels, random_levels(400_003))
    for lane in range(4):
        part = levels[lane::4].float()
        assert part.mean().abs() < 250
        assert part.min() < -32_700
        assert part.max() > 32_700


def test_bfloat16_stays_bfloat16():
    assert Dropout(0.5)(torch.ones(4, dtype=torch.bfloat16)).dtype == torch.bfloat16
