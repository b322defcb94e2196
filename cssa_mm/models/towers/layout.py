"""Where the local features of a tower lie in the image, and how the tower makes its global feature of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from torch import Tensor, nn

from cssa_mm.errors import ConfigError

# How a tower pools. MEAN: the global feature is the mean of the local ones. ATTENTION: a query weighs them (CLIP's
# ResNets). OTHER: a class token, a learned query whose values are not the local features, a norm after the mean.
MEAN, ATTENTION, OTHER = POOLINGS = ('mean', 'attention', 'other')
CLOSE = 1e-3  # relative: between two ways to compute the same feature


@dataclass(frozen=True)
class CellLayout:
    """The grid of a tower's local features over its input.

    Attributes:
        pooling: one of `POOLINGS`.
        stride: pixels from one cell to the next, down and across.
        first: the centre of the first cell, down and across, in pixels from the corner of the input. Padding and
            trained kernels move it away from half a stride.
    """

    pooling: str
    stride: tuple[float, float]
    first: tuple[float, float]

    def grid(self, count: int, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns (h, w) of N cells over an input of (H, W) pixels.

        Raises:
            ConfigError: no such grid has N cells.
        """
        sides = [{int(pixels // step), int(-(-pixels // step))} for pixels, step in zip(size, self.stride, strict=True)]
        for rows, columns in product(*sides):
            if rows * columns == count:
                return rows, columns
        raise ConfigError(
            f'view.size: found {size[0]} x {size[1]} pixels (height x width), whose {count} local features are no grid '
            f'of cells of {self.stride[0]:g} x {self.stride[1]:g}, expected a multiple of these; set view.size'
        )

    def centres(self, grid: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the rows (h,) and columns (w,) of a grid, as shares of the height and width of the input."""
        rows, columns = (
            np.clip((first + step * np.arange(count)) / pixels, 0.0, 1.0)
            for first, step, count, pixels in zip(self.first, self.stride, grid, size, strict=True)
        )
        return rows, columns


def cell_layout(visual: nn.Module, local_and_global: Callable[[Tensor], tuple[Tensor, Tensor]]) -> CellLayout:
    """The layout of a tower, found on inputs of its own size; no image and no label is needed.

    Patches of a transformer and the averaging steps of CLIP's ResNets lie in the middle of their cells. Other
    convolutions are tried: see `first_centre`.

    Args:
        visual: the tower.
        local_and_global: images (B, 3, H, W) -> local features (B, N, D) without a global token, global ones (B, D).
    """
    size = _sides(cast(Any, visual.image_size))
    device = next(visual.parameters()).device
    noise = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        local, pooled = local_and_global(noise.to(device))
    rows = round((local.shape[1] * size[0] / size[1]) ** 0.5)
    stride = (size[0] / rows, size[1] / (local.shape[1] // rows))
    first = (stride[0] / 2, stride[1] / 2)
    if isinstance(visual, ModifiedResNet):
        return CellLayout(ATTENTION, stride, first)
    if isinstance(visual, TimmModel) and not hasattr(visual.trunk, 'num_prefix_tokens'):  # no tokens: convolutions
        first = first_centre(lambda images: local_and_global(images.to(device))[0].float().cpu(), size, stride)
    distance = (local.mean(1) - pooled).norm() / pooled.norm()
    return CellLayout(MEAN if distance < CLOSE else OTHER, stride, first)


@torch.no_grad()
def first_centre(
    local: Callable[[Tensor], Tensor], size: tuple[int, int], stride: tuple[float, float]
) -> tuple[float, float]:
    """Where the first cell of a convolutional tower lies, by how its cells answer to a patch of noise.

    The answer of a cell is how far its feature moves when the patch is put on a blank input. Its centre of mass on the
    grid, in pixels, stays behind the patch by the same distance wherever the patch is; the mean of eight places around
    the middle of the input is taken. (Ours. The arithmetic of strides and paddings alone misses what kernels learned:
    a network that was trained with flipped images looks straight ahead across, however it pads.)

    Args:
        local: images (B, 3, H, W) -> local features (B, N, D).
        size: height and width of the input.
        stride: pixels from one cell to the next.

    Returns:
        Pixels down and across.
    """
    generator = torch.Generator().manual_seed(0)
    patch = [max(1, round(min(2 * step, pixels / 2))) for pixels, step in zip(size, stride, strict=True)]
    places = [(down, across) for down, across in product((-1, 0, 1), repeat=2) if down or across]
    corners = [
        [round((size[axis] - patch[axis]) / 2 + place[axis] * stride[axis] / 4) for axis in (0, 1)] for place in places
    ]
    inputs = torch.zeros(len(places) + 1, 3, *size)  # the last one stays blank
    for image, (top, left) in zip(inputs, corners, strict=False):
        noise = F.interpolate(torch.randn(1, 3, 8, 8, generator=generator), patch)[0]
        image[:, top : top + patch[0], left : left + patch[1]] = noise
    features = local(inputs)
    grid = [round(pixels / step) for pixels, step in zip(size, stride, strict=True)]
    answer = (features[:-1] - features[-1]).norm(dim=-1).unflatten(1, grid)
    answer = answer / answer.sum((1, 2), keepdim=True)
    found = []
    for axis, (side, step, count) in enumerate(zip(patch, stride, grid, strict=True)):
        mass = (answer.sum(2 - axis) * torch.arange(count)).sum(1) * step
        middles = torch.tensor([corner[axis] + side / 2 for corner in corners])
        found.append(float((middles - mass).mean()))
    return found[0], found[1]


def _sides(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
