"""CLIP's vision transformers."""

from __future__ import annotations

import torch
from open_clip.transformer import VisionTransformer
from torch import Tensor

from cssa_mm.models.towers.grid import resize_grid


def vit_features(visual: VisionTransformer, images: Tensor, dense: str, global_token: bool) -> tuple[Tensor, Tensor]:
    """Class and patch tokens through the last normalisation and projection.

    N = number of patches, plus one with the global token.
    """
    x = visual.conv1(images)
    height, width = x.shape[-2:]
    x = x.flatten(2).transpose(1, 2)
    position = visual.positional_embedding
    position = torch.cat([position[:1], resize_grid(position[1:], height, width)]).to(x.dtype)
    # Not len(x): to an exporter that is the batch size of its example, for good.
    x = torch.cat([visual.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1), x], 1) + position
    x = visual.transformer(visual.ln_pre(x))
    if visual.final_ln_after_pool:
        pooled = visual.ln_post(visual._global_pool(x)[0])
        local = visual.ln_post(x)
    else:
        local = visual.ln_post(x)
        pooled = visual._global_pool(local)[0]
    if visual.proj is not None:
        local, pooled = local @ visual.proj, pooled @ visual.proj
    return (local if global_token else local[:, 1:]), pooled
