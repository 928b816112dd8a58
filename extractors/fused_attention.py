"""Self-attention that writes no scores to memory, and attention within windows, as HTSAT and Swin have it, by it.

Long rows of tokens, as CLIP has them, run through :mod:`extractors.attention_kernels`, others through torch's kernel.

laion-clap writes the scores of every pair of tokens to memory, adds the bias, adds the mask, takes the softmax and
reads them again: 0.28 of CLAP's time on two cores, of which the fused kernel leaves a third.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from torch import Tensor


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, heads: int, bias: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Attention of some heads, no scores written to memory.

    Args:
        query: ``[batch, queries, channels]``.
        key: ``[batch, tokens, channels]``.
        value: likewise.
        heads: that share the channels.
        bias: added to the scores, ``[batch or 1, heads, queries, tokens]``.
        scale: of the scores; one over the square root of a head's channels if not given.

    Returns:
        ``[batch, queries, channels]``.
    """
    from extractors import attention_kernels

    if bias is None and scale is None and attention_kernels.suits(query, key, value, heads):
        return attention_kernels.attend_heads(query, key, value, heads=heads)
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value))
    mask = None if bias is None else bias.to(q.dtype)
    mixed: Tensor = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return mixed.transpose(1, 2).flatten(2)


class FusedWindowAttention(nn.Module):
    """Takes the place of laion-clap's ``WindowAttention``, in eval mode.

    Args:
        attention: the one to replace; its linear layers are used as they are.
        mask: ``[windows, tokens, tokens]`` of shifted windows, 0 or about -100; ``None`` where nothing is shifted.
    """

    bias: Tensor

    def __init__(self, attention: Any, mask: Tensor | None) -> None:
        super().__init__()
        self.qkv, self.proj = attention.qkv, attention.proj
        self.heads, self.scale = int(attention.num_heads), float(attention.scale)
        index = attention.relative_position_index
        bias = attention.relative_position_bias_table[index.view(-1)].view(*index.shape, self.heads)
        bias = bias.detach().permute(2, 0, 1)[None]
        self.register_buffer("bias", (bias if mask is None else bias + mask[:, None]).contiguous(), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, None]:
        """Attend.

        Args:
            x: ``[pictures * windows, tokens, channels]``.
            mask: not looked at; it is in the bias already.

        Returns:
            The same shape, and ``None`` where laion-clap returns the attention weights.
        """
        bias = self.bias
        if len(bias) > 1:
            bias = bias.expand(len(x) // len(bias), *bias.shape).flatten(0, 1)
        return self.proj(attend(*self.qkv(x).chunk(3, dim=-1), heads=self.heads, bias=bias, scale=self.scale)), None


def fuse_window_attention(network: nn.Module) -> int:
    """Replace the attention of every HTSAT block whose weights are loaded, in place.

    Returns:
        How many were replaced.
    """
    blocks: list[Any] = [part for part in network.modules() if hasattr(part, "attn_mask")]
    for block in blocks:
        block.attn = FusedWindowAttention(block.attn, block.attn_mask)
    return len(blocks)
