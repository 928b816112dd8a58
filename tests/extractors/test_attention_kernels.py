import pytest
import torch

from extractors import attention_kernels
from extractors.attention_kernels import attend_heads, suits
from extractors.fused_attention import attend


def tensors(pictures, queries, tokens, heads, channels, *, size=1.0):
    """Queries, and keys and values that lie in the same rows, as CLIP's do."""
    generator = torch.Generator().manual_seed(tokens)
    query = size * torch.randn(pictures, queries, heads * channels, generator=generator)
    return query, *(size * torch.randn(pictures, tokens, 2 * heads * channels, generator=generator)).chunk(2, dim=-1)


pytestmark = pytest.mark.skipif(
    not suits(*tensors(1, 1, 130, 1, 64), 1), reason="this CPU or torch has not what compiled loops need"
)


def exact(query, key, value, heads):
    q, k, v = (part.double().unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    return (torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ v).transpose(1, 2).flatten(2)


SHAPES = [(2, 257, 257, 16, 64), (2, 1, 257, 4, 64), (1, 14, 128, 2, 32), (3, 20, 144, 2, 64), (1, 29, 300, 3, 96)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1.0, 4.0])
def test_equals_attention_in_float64(shape, size):
    query, key, value = tensors(*shape, size=size)
    ours = attend_heads(query, key, value, heads=shape[3])
    largest_score = 5 * size**2
    bound = 1e-7 * (largest_score + 5) * float(value.abs().max())
    torch.testing.assert_close(ours.double(), exact(query, key, value, shape[3]), rtol=0, atol=bound)
    assert torch.equal(attend_heads(query, key.contiguous(), value.contiguous(), heads=shape[3]), ours)
    assert torch.equal(attend(query, key, value, heads=shape[3]), ours)


def test_scores_of_any_size_give_finite_weights():
    query, key, value = tensors(1, 5, 130, 1, 64, size=100.0)
    found = attend_heads(query, key, value, heads=1)
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), exact(query, key, value, 1), rtol=0, atol=0.05)


def test_a_picture_has_the_same_bits_in_any_batch_with_any_threads():
    query, key, value = tensors(5, 40, 257, 3, 64)
    whole = attend_heads(query, key, value, heads=3)
    for first, last in [(0, 1), (2, 5)]:
        some = (part[first:last] for part in (query, key, value))
        assert torch.equal(attend_heads(*some, heads=3), whole[first:last])
    assert torch.equal(attend_heads(query[:, :1], key, value, heads=3), whole[:, :1])
    threads = torch.get_num_threads()
    try:
        for number in (1, 3, 5):
            torch.set_num_threads(number)
            assert torch.equal(attend_heads(query, key, value, heads=3), whole)
    finally:
        torch.set_num_threads(threads)


def test_what_is_not_finite_stays_in_its_picture_and_head():
    query, key, value = tensors(2, 20, 130, 2, 64)
    before = attend_heads(query, key, value, heads=2)
    query[0, 3, 5], value[1, 129, 70] = torch.nan, torch.nan
    after = attend_heads(query, key, value, heads=2)
    assert after[0, 3, :64].isnan().all()
    assert after[1, :, 70].isnan().all()
    assert torch.equal(after[0, :3], before[0, :3])
    assert torch.equal(after[0, 3:, 64:], before[0, 3:, 64:])
    assert torch.equal(after[1, :, :64], before[1, :, :64])


def test_few_tokens_odd_channels_large_heads_and_other_numbers_are_left_to_torch(monkeypatch):
    assert not suits(*tensors(1, 50, 50, 2, 64), 2)
    assert not suits(*tensors(1, 50, 257, 2, 40), 2)
    assert not suits(*tensors(1, 8, 4096, 1, 64), 1)
    assert not suits(*(part.bfloat16() for part in tensors(1, 8, 257, 1, 64)), 1)
    monkeypatch.setattr(attention_kernels.openmp, "library", lambda: None)
    assert not suits(*tensors(1, 8, 257, 1, 64), 1)


def test_shapes_that_do_not_fit_are_refused_before_compiled_code_sees_them():
    query, key, value = tensors(2, 8, 130, 2, 64)
    for others in [(key[:1], value[:1]), (key, value[:, :129]), (key[..., :64], value[..., :64]), (key[:, :50],) * 2]:
        with pytest.raises(ValueError, match=r"query, key, value .* 2 heads"):
            attend_heads(query, *others, heads=2)
