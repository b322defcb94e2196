"""Towers whose trunk is one of timm's."""

from __future__ import annotations

import torch
from open_clip.timm_model import TimmModel
from torch import Tensor


def timm_features(visual: TimmModel, images: Tensor, dense: str, global_token: bool) -> tuple[Tensor, Tensor]:
    """The trunk's positions through the tower's whole head, one by one; N = h*w, plus one with the global token.

    The head sees each position alone, as if the image showed nothing else: heads that normalise, project or read a
    class token work like any other. With average pooling and a linear head, the mean of the positions is the
    global feature exactly.
    """
    x = visual.trunk.forward_features(images)
    if x.ndim == 4:
        channels_last = getattr(visual.trunk, 'output_fmt', 'NCHW') == 'NHWC'
        positions = x.flatten(1, 2) if channels_last else x.flatten(2).transpose(1, 2)  # (B, N, E)
        alone = positions.flatten(0, 1)
        alone = alone[:, None, None] if channels_last else alone[:, :, None, None]
    else:
        prefix = getattr(visual.trunk, 'num_prefix_tokens', 0)
        positions = x[:, prefix:]
        alone = positions.flatten(0, 1)[:, None].expand(-1, prefix + 1, -1)
    local = visual.head(visual.trunk.forward_head(alone)).unflatten(0, positions.shape[:2])
    pooled = visual.head(visual.trunk.forward_head(x))
    return (torch.cat([pooled[:, None], local], 1) if global_token else local), pooled
