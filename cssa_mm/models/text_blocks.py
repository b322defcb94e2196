"""open_clip's causal text transformer, run only as far as it is read: its last block at one position of each text.

Equal to the transformer itself but for rounding. A constant [SOS] kept out of the blocks gains nothing measurable: its
keys and values have to be joined to the others in each block.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor


def is_plain(transformer: Any, mask: Tensor | None) -> bool:
    """Whether `read_at` knows the blocks of a transformer, and its additive mask (L, L) is the causal one."""
    blocks = getattr(transformer, 'resblocks', None)
    if not blocks or mask is None or not all(type(block) is ResidualAttentionBlock for block in blocks):
        return False
    return torch.equal(mask, torch.full_like(mask, float('-inf')).triu(1))


def read_at(blocks: Any, x: Tensor, positions: Tensor) -> Tensor:
    """What the causal `blocks` make of texts (P, L, W) at one position (P,) of each: (P, W)."""
    *first, last = blocks
    for block in first:
        query, key, value = _projected(block, x, x)
        x = _finished(block, x, F.scaled_dot_product_attention(query, key, value, is_causal=True))
    rows = torch.arange(len(x), device=x.device)
    read = x[rows, positions][:, None]
    query, key, value = _projected(last, read, x)
    seen = torch.arange(x.shape[1], device=x.device) <= positions[:, None]
    return _finished(last, read, F.scaled_dot_product_attention(query, key, value, seen[:, None, None]))[:, 0]


def _projected(block: Any, queries: Tensor, x: Tensor) -> list[Tensor]:
    """Queries (P, H, Q, W/H), keys and values (P, H, L, W/H) of a block for texts (P, Q, W) and (P, L, W)."""
    attention, normalised = block.attn, block.ln_1(x)
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    if queries is x:
        parts = F.linear(normalised, weight, bias).chunk(3, -1)
    else:
        width = x.shape[-1]
        query = F.linear(block.ln_1(queries), weight[:width], bias[:width])
        parts = (query, *F.linear(normalised, weight[width:], bias[width:]).chunk(2, -1))
    return [part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in parts]


def _finished(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    """The output (P, Q, W) of a block for texts (P, Q, W) and what its heads attended to (P, H, Q, W/H)."""
    x = x + block.ls_1(block.attn.out_proj(attended.transpose(1, 2).flatten(2)))
    return x + block.ls_2(block.mlp(block.ln_2(x)))
