"""The positional grid of a tower, resized to other image sizes."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def resize_grid(grid: Tensor, height: int, width: int) -> Tensor:
    """Resize a square positional grid (G*G, E) bicubically to (height*width, E), unchanged where it fits.

    An exporter's symbolic height and width fit nothing: whether they do is not known before the program runs.
    """
    if isinstance(height, Tensor) and isinstance(width, Tensor):  # of a trace, whose sizes are those of its example
        height, width = int(height), int(width)
    side = math.isqrt(grid.shape[0])
    if isinstance(height, int) and isinstance(width, int) and (side, side) == (height, width):
        return grid
    image = grid.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    image = F.interpolate(image, (height, width), mode='bicubic', align_corners=False)
    return image.permute(0, 2, 3, 1).reshape(height * width, -1).to(grid.dtype)
