"""Towers whose trunk is one of timm's."""

from __future__ import annotations

import torch
from open_clip.timm_model import TimmModel
from torch import Tensor

from cssa_mm.errors import ConfigError


def timm_features(visual: TimmModel, images: Tensor, dense: str, global_token: bool) -> tuple[Tensor, Tensor]:
    """The trunk's positions through the tower's whole head, one by one; N = h*w, plus one with the global token.

    The head sees each position alone, as if the image showed nothing else: heads that normalise, project or read a
    class token work like any other. With average pooling and a linear head, the mean of the positions is the
    global feature exactly.
    """
    x = _trunk_features(visual, images)
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


def _trunk_features(visual: TimmModel, images: Tensor) -> Tensor:
    try:
        return visual.trunk.forward_features(images)
    except (AssertionError, RuntimeError) as error:
        height, width = visual.image_size
        if tuple(images.shape[-2:]) == (height, width) or isinstance(error, torch.OutOfMemoryError):
            raise
        size = height if height == width else (height, width)
        raise ConfigError(
            f'view.size: found images of {images.shape[-2]} x {images.shape[-1]}, which this tower cannot take '
            f'({" ".join(str(error).split())[:120]}), expected {height} x {width}; set view.size={size}'
        ) from error
