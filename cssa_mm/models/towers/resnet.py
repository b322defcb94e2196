"""CLIP's ResNets, which pool by attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from open_clip.modified_resnet import AttentionPool2d, ModifiedResNet
from torch import Tensor

from cssa_mm.models.towers.grid import resize_grid


def resnet_features(visual: ModifiedResNet, images: Tensor, dense: str, global_token: bool) -> tuple[Tensor, Tensor]:
    """Dense features of a CLIP ResNet; N = h*w, plus one with the global token.

    For RN50 at 224: map (B, 2048, 7, 7) -> tokens (B, 50, 2048) -> features (B, 50, 1024).
    """
    x = visual.stem(images)
    x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(x))))
    pool: AttentionPool2d = visual.attnpool
    height, width = x.shape[-2:]
    tokens = x.flatten(2).transpose(1, 2)  # (B, h*w, E)
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)  # (B, 1 + h*w, E)
    position = pool.positional_embedding
    position = torch.cat([position[:1], resize_grid(position[1:], height, width)])
    tokens = tokens + position.to(tokens.dtype)
    pooled = _attend(pool, tokens[:, :1], tokens)[:, 0]
    if dense == 'value':
        local = pool.c_proj(pool.v_proj(tokens))
    else:
        local = _attend(pool, tokens, tokens)
    return (local if global_token else local[:, 1:]), pooled


def _attend(pool: AttentionPool2d, query: Tensor, tokens: Tensor) -> Tensor:
    """The attention pool with any queries: (B, Q, E), (B, N, E) -> (B, Q, D)."""
    heads = [
        t.unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
        for t in (pool.q_proj(query), pool.k_proj(tokens), pool.v_proj(tokens))
    ]
    return pool.c_proj(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
