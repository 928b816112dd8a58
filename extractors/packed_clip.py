"""CLIP's vision transformer on a CPU: packed products, fused attention, and no more of the last block than is read.

Quick GELU is ``x * sigmoid(1.702 x)``, three walks through an activation of four times the width. With 1.702 moved
into the layer before and 1 / 1.702 into the layer after, it is SiLU: one walk in place. Of the last block's tokens the
embedding reads the first alone: the others give it keys and values, and go no further.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from extractors.fused_attention import attend
from extractors.packed_product import quick_linear

if TYPE_CHECKING:
    from torch import Tensor

_QUICK = 1.702


class PackedClipBlock(nn.Module):
    """open_clip's ``ResidualAttentionBlock`` with quick GELU. May overwrite its input.

    Args:
        block: the one to replace.
        rows: tokens of a usual batch.
        answers: rows of its result in a usual batch: as many, or one a picture for a block that gives the first alone.
    """

    def __init__(self, block: Any, *, rows: int, answers: int) -> None:
        super().__init__()
        attention, wide, narrow = block.attn, block.mlp.c_fc, block.mlp.c_proj
        self.first_only, self.heads = answers < rows, int(attention.num_heads)
        self.norms = nn.ModuleList([block.ln_1, block.ln_2])
        weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
        self.query = quick_linear(weights[0], biases[0], rows=answers)
        self.memory = quick_linear(torch.cat(weights[1:]), torch.cat(biases[1:]), rows=rows)
        self.leave = quick_linear(attention.out_proj.weight, attention.out_proj.bias, rows=answers)
        self.wide = quick_linear(wide.weight * _QUICK, wide.bias * _QUICK, rows=answers)
        self.narrow = quick_linear(narrow.weight / _QUICK, narrow.bias, rows=answers)

    def forward(self, x: Tensor, attn_mask: None = None) -> Tensor:
        """``[pictures, tokens, width]`` to the same, or to ``[pictures, 1, width]``."""
        before, after = self.norms
        asked, seen = x, before(x)
        memory = self.memory(seen)
        if self.first_only:
            asked, seen = asked[:, :1].contiguous(), seen[:, :1]
        x = self.leave(attend(self.query(seen), *memory.chunk(2, dim=-1), heads=self.heads), onto=asked)
        out: Tensor = self.narrow(self.wide(after(x), then="silu"), onto=x)
        return out


def pack_clip(network: Any, example: Tensor) -> int:
    """Replace every block of open_clip's vision transformer that has quick GELU, in place.

    Args:
        network: the visual tower, in eval mode, on the CPU, float32.
        example: a batch of the usual size.

    Returns:
        How many were replaced; 0 for towers of another make.
    """
    blocks = getattr(getattr(network, "transformer", None), "resblocks", None)
    if not isinstance(blocks, nn.ModuleList) or not all(_known(block) for block in blocks):
        return 0
    rows = len(example) * len(network.positional_embedding)
    with torch.no_grad():
        for at, block in enumerate(blocks):
            last = at == len(blocks) - 1 and _reads_first_token(network)
            blocks[at] = PackedClipBlock(block, rows=rows, answers=len(example) if last else rows)
    return len(blocks)


def _reads_first_token(tower: Any) -> bool:
    """Whether nothing but the first token of the last block reaches the tower's output."""
    return tower.attn_pool is None and tower.pool_type == "tok" and not tower.output_tokens


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
