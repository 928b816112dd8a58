"""CLIP's vision transformer on a CPU: attention through torch's fused kernel, quick GELU as one pass.

Quick GELU is ``x * sigmoid(1.702 x)``, three walks through an activation of four times the width. With 1.702 moved
into the layer before and 1 / 1.702 into the layer after, it is SiLU, one walk in place. Measured on two cores, a block
of ViT-L/14 took 0.90 of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import linear, silu

from extractors.fused_attention import fused_attention

if TYPE_CHECKING:
    from torch import Tensor

_QUICK = 1.702


class PackedClipBlock(nn.Module):
    """open_clip's ``ResidualAttentionBlock`` with quick GELU. Takes its weights over and rescales those of the MLP."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.heads = int(block.attn.num_heads)
        self.norms = nn.ModuleList([block.ln_1, block.ln_2])
        self.attention = block.attn
        self.wide, self.narrow = block.mlp.c_fc, block.mlp.c_proj
        with torch.no_grad():
            self.wide.weight.mul_(_QUICK)
            self.wide.bias.mul_(_QUICK)
            self.narrow.weight.div_(_QUICK)

    def forward(self, x: Tensor, attn_mask: None = None) -> Tensor:
        """``[pictures, tokens, width]``."""
        before, after = self.norms
        x = x + self._attend(before(x))
        return x + self.narrow(silu(self.wide(after(x)), inplace=True))  # type: ignore[no-any-return]

    def _attend(self, x: Tensor) -> Tensor:
        together = linear(x, self.attention.in_proj_weight, self.attention.in_proj_bias)
        return self.attention.out_proj(fused_attention(together, heads=self.heads))  # type: ignore[no-any-return]


def pack_clip(network: Any) -> int:
    """Replace every block of open_clip's vision transformer that has quick GELU, in place.

    Args:
        network: the visual tower, in eval mode, on the CPU, float32.

    Returns:
        How many were replaced; 0 for towers of another make.
    """
    blocks = getattr(getattr(network, "transformer", None), "resblocks", None)
    if not isinstance(blocks, nn.ModuleList) or not all(_known(block) for block in blocks):
        return 0
    for at, block in enumerate(blocks):
        blocks[at] = PackedClipBlock(block)
    return len(blocks)


def _known(block: Any) -> bool:
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
