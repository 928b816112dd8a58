"""CLIP's transformer blocks without the work that does not reach the embedding.

Quick GELU is ``x * sigmoid(1.702 x)``, three passes over an activation of four times the width. With 1.702 moved into
the layer before and 1 / 1.702 into the layer after, it is SiLU: one pass. And the embedding reads the first token of
the last block alone, to which the others only give keys and values. Both are exact but for rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import linear, scaled_dot_product_attention, silu

if TYPE_CHECKING:
    from torch import Tensor

_QUICK = 1.702


class QuickBlock(nn.Module):
    """open_clip's ``ResidualAttentionBlock`` with quick GELU.

    Args:
        block: the one to replace; its weights are taken over, those of the MLP changed.
        first_only: give the first token alone.
    """

    def __init__(self, block: Any, *, first_only: bool) -> None:
        super().__init__()
        self.first_only, self.heads = first_only, int(block.attn.num_heads)
        self.ln_1, self.attn, self.ln_2, self.mlp = block.ln_1, block.attn, block.ln_2, block.mlp
        with torch.no_grad():
            self.mlp.c_fc.weight.mul_(_QUICK)
            self.mlp.c_fc.bias.mul_(_QUICK)
            self.mlp.c_proj.weight.div_(_QUICK)

    def forward(self, x: Tensor, attn_mask: None = None) -> Tensor:
        """``[pictures, tokens, width]`` to the same, or to ``[pictures, 1, width]``."""
        seen = self.ln_1(x)
        weight, bias, width = self.attn.in_proj_weight, self.attn.in_proj_bias, x.shape[-1]
        if self.first_only:
            x = x[:, :1]
            query = linear(seen[:, :1], weight[:width], bias[:width])
            key, value = linear(seen, weight[width:], bias[width:]).chunk(2, dim=-1)
        else:
            query, key, value = linear(seen, weight, bias).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        mixed = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.attn.out_proj(mixed)
        out: Tensor = x + self.mlp.c_proj(silu(self.mlp.c_fc(self.ln_2(x))))
        return out


def simplify_blocks(tower: Any) -> int:
    """Replace every block of open_clip's vision transformer that has quick GELU, in place.

    Args:
        tower: with its weights loaded.

    Returns:
        How many were replaced; 0 for towers of another make.
    """
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    if not isinstance(blocks, nn.ModuleList) or not all(_is_known(block) for block in blocks):
        return 0
    for at, block in enumerate(blocks):
        blocks[at] = QuickBlock(block, first_only=at == len(blocks) - 1 and _reads_first_token(tower))
    return len(blocks)


def _reads_first_token(tower: Any) -> bool:
    """Whether nothing but the first token of the last block reaches the tower's output."""
    return tower.attn_pool is None and tower.pool_type == "tok" and not tower.output_tokens


def _is_known(block: Any) -> bool:
    from open_clip.transformer import QuickGELU, ResidualAttentionBlock

    return (
        type(block) is ResidualAttentionBlock
        and isinstance(block.attn, nn.MultiheadAttention)
        and block.attn.batch_first
        and block.attn.in_proj_bias is not None
        and isinstance(block.mlp.gelu, QuickGELU)
        and isinstance(block.ls_1, nn.Identity)
        and isinstance(block.ls_2, nn.Identity)
        and not hasattr(block, "ln_1_kv")
    )
